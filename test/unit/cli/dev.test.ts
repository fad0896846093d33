import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { firstTaken } from '#cli/dev/ports.ts';
import { portsNeeded } from '#cli/dev/plan.ts';

import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { runShoal } from './shoal-process.ts';
import { addTitledFile } from './titled-file.ts';

const SHOAL = fileURLToPath(new URL('../../../cli/shoal.ts', import.meta.url));

let dir: TemporaryDirectory;
let firstPort: number;
let running: ChildProcess | undefined;

beforeEach(async () => {
  dir = await temporaryDirectory('dev');
  firstPort = await freeRun(portsNeeded(2));
});
afterEach(async () => {
  running?.kill('SIGKILL');
  running = undefined;
  await dir[Symbol.asyncDispose]();
});

function ports(): number[] {
  return Array.from({ length: portsNeeded(2) }, (_, index) => firstPort + index);
}

/** So many free ports in a row, where `shoal dev` takes them. */
async function freeRun(length: number): Promise<number> {
  for (let first = 21_000 + (process.pid % 300) * 20; first < 29_000; first += length) {
    const run = Array.from({ length }, (_, index) => first + index);
    if ((await firstTaken(run)) === undefined) return first;
  }
  throw new Error('no free ports in a row');
}

/** Starts `shoal dev` and waits until it says that it is ready. */
async function startDev(args: readonly string[] = []) {
  const child = spawn(
    process.execPath,
    [SHOAL, 'dev', '--port', String(firstPort), '--dir', dir.path, ...args],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  running = child;
  let output = '';
  const add = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', add);
  child.stderr.on('data', add);
  const ended = once(child, 'close');
  const isReady = (): boolean => output.includes('Ctrl-C stops all');
  await expect.poll(() => isReady() || child.exitCode !== null, { timeout: 30_000 }).toBe(true);
  expect(output).toContain('Ctrl-C stops all');
  return { child, ended, output: () => output };
}

test('dev brings a file to both agents through one upstream read, and Ctrl-C stops every part', async () => {
  await using registry = await UpstreamRegistry.start();
  const content = deterministicBytes('dev', 3_000_000);
  const { file } = addTitledFile(registry, { tag: '1', title: 'file', bytes: content });
  const { child, ended, output } = await startDev(['--plain-http', registry.host]);
  const doors = [...output().matchAll(/^agent-\d (http:\S+) /gm)].map(([, door]) => door ?? '');
  expect(doors).toHaveLength(2);
  const gets = doors.map((door, index) =>
    runShoal(['get', `${registry.host}/org/app:1`, '-o', dir.join(`out-${index}`), '--agent', door]),
  );
  expect((await Promise.all(gets)).map(({ code, stderr }) => [code, code === 0 ? '' : stderr])).toEqual([
    [0, ''],
    [0, ''],
  ]);
  for (const index of [0, 1])
    expect((await readFile(dir.join(`out-${index}/file`))).equals(content)).toBe(true);
  const read = registry.log.entries
    .filter(({ digest }) => digest === file)
    .reduce((sum, entry) => sum + entry.bodyBytes, 0);
  expect(read).toBeLessThanOrEqual(content.length * 1.01);
  expect(output()).not.toMatch(/^\S+ \| \S+ (?:warn|error) /mu);
  child.kill('SIGINT');
  expect(await ended).toEqual([0, null]);
  expect(await firstTaken(ports())).toBeUndefined();
}, 60_000);

test('dev that is killed leaves no part behind', async () => {
  const { child } = await startDev();
  child.kill('SIGKILL');
  await expect.poll(() => firstTaken(ports()), { timeout: 20_000 }).toBeUndefined();
}, 60_000);

test('a part that is killed is started again, and the others go on', async () => {
  const { child, ended, output } = await startDev();
  const [, door = ''] = /^agent-1 (http:\S+)/mu.exec(output()) ?? [];
  const first = await processOf('agent-1.yaml');
  const others = await Promise.all(['tracker.yaml', 'origin-1.yaml', 'agent-2.yaml'].map(processOf));
  process.kill(first, 'SIGKILL');
  await expect.poll(output, { timeout: 10_000 }).toMatch(/^agent-1 \| was ended by SIGKILL; started again/mu);
  const answers = async (): Promise<boolean> =>
    (await fetch(`${door}/v2/`).catch(() => undefined)) !== undefined;
  await expect.poll(answers, { timeout: 20_000 }).toBe(true);
  expect(await processOf('agent-1.yaml')).not.toBe(first);
  expect(await Promise.all(['tracker.yaml', 'origin-1.yaml', 'agent-2.yaml'].map(processOf))).toEqual(others);
  child.kill('SIGINT');
  expect(await ended).toEqual([0, null]);
  expect(await firstTaken(ports())).toBeUndefined();
}, 60_000);

/** The process that was started with that file of this test's directory. */
async function processOf(file: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/u.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(dir.join(file))) return Number(pid);
  }
  throw new Error(`no process was started with ${file}`);
}

test('dev says which port is taken', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(firstPort + 4, '127.0.0.1', resolve);
  });
  const { code, stderr } = await runShoal(['dev', '--port', String(firstPort)]);
  expect([code, stderr]).toEqual([1, `shoal: port ${firstPort + 4} is taken: choose others with --port\n`]);
  server.close();
});

test('a part that fails ends the whole, with its reason', async () => {
  await writeFile(dir.join('agent-2'), 'no directory');
  const { code, stderr } = await runShoal(['dev', '--port', String(firstPort), '--dir', dir.path]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^agent-2 \| shoal: .*agent-2/m);
  expect(stderr).toMatch(/^shoal: \S+ ended with code 1$/m);
});

test('without a directory of its own nothing is left in the temporary one', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(firstPort, '127.0.0.1', resolve);
  });
  const { code } = await runShoal(['dev', '--port', String(firstPort)], { TMPDIR: dir.path });
  server.close();
  expect(code).toBe(1);
  expect(await readdir(dir.path)).toEqual([]);
});

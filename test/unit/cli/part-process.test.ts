import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startChild, untilReady } from '#cli/dev/child.ts';
import { planCluster } from '#cli/dev/plan.ts';
import type { PlannedPart } from '#cli/dev/plan.ts';

import { freePorts } from '../../../demo/free-port.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../support/temporary-directory.ts';

/** The life of a part's process, with the tracker as the smallest of them. */

const SHOAL = fileURLToPath(new URL('../../../cli/shoal.ts', import.meta.url));

let dir: TemporaryDirectory;
let tracker: PlannedPart;
let lines: string;
const output = { write: (text: string) => void (lines += text) };

beforeEach(async () => {
  dir = await temporaryDirectory('part');
  lines = '';
  const [planned] = await planCluster({
    directory: dir.path,
    agents: 1,
    firstPort: 20_000,
    logLevel: 'info',
    plainHosts: [],
  });
  const [main, status] = await freePorts(2);
  if (planned === undefined) throw new Error('no part was planned');
  const places = { listen: `127.0.0.1:${main}`, status: { listen: `127.0.0.1:${status}` } };
  tracker = { ...planned, config: { ...planned.config, ...places }, status: `127.0.0.1:${status}` };
});
afterEach(() => dir[Symbol.asyncDispose]());

const soon = (): AbortSignal => AbortSignal.timeout(10_000);

test('a part gets ready, logs under its name, and ends well when it is told to', async () => {
  const child = await startChild(tracker, { program: SHOAL, directory: dir.path, output });
  await untilReady(child, tracker.status, soon());
  expect(lines).toContain('tracker | {');
  await child[Symbol.asyncDispose]();
  expect(await child.ended).toBe('ended with code 0');
  expect(lines).toContain('"stopped"');
});

test('a part that cannot start says why and ends with 1', async () => {
  const broken = { ...tracker, config: { ...tracker.config, clusterKeyFile: dir.join('none') } };
  const child = await startChild(broken, { program: SHOAL, directory: dir.path, output });
  // Far less than the patience with a part that is slow to start.
  await expect(untilReady(child, tracker.status, soon())).rejects.toThrow('tracker ended with code 1');
  expect(await child.ended).toBe('ended with code 1');
  expect(lines).toMatch(/^tracker \| shoal: cannot read the cluster key .*\/none: ENOENT/m);
});

test('a part ends by itself when its parent is killed', async () => {
  const script = `
    import { startChild, untilReady } from '#cli/dev/child.ts';
    const part = ${JSON.stringify(tracker)};
    const options = ${JSON.stringify({ program: SHOAL, directory: dir.path })};
    const child = await startChild(part, { ...options, output: { write: () => {} } });
    await untilReady(child, part.status, AbortSignal.timeout(10000));
    console.log(child.pid);
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [printed]: unknown[] = await once(parent.stdout, 'data');
  const pid = Number(String(printed));
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

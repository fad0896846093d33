import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary-directory.ts';

const DEMO = fileURLToPath(new URL('../../demo/demo.ts', import.meta.url));
const SMALL = ['--nodes', '3', '--image-size', '20MB', '--upstream-rate', '10MB/s'];

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface RunningDemo extends AsyncDisposable {
  child: ChildProcess;
  /** Where it writes; outlives the demo. */
  directory: TemporaryDirectory;
  ended: Promise<Ended>;
  /** Resolves when standard output has come to hold this. */
  said(text: string): Promise<void>;
}

async function startDemo(...args: string[]): Promise<RunningDemo> {
  const directory = await temporaryDirectory('demo-test');
  const child = spawn(process.execPath, [DEMO, ...args], {
    env: { ...process.env, TMPDIR: directory.path },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => void (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => void (output.stderr += chunk.toString()));
  const { promise: ended, resolve } = Promise.withResolvers<Ended>();
  child.once('close', (code) => resolve({ code, ...output }));
  return {
    child,
    directory,
    ended,
    async said(text) {
      const over = ended.then(() => 'over' as const);
      while (!output.stdout.includes(text)) {
        if ((await Promise.race([over, sleep(20)])) === 'over')
          throw new Error(`the demo ended without "${text}":\n${output.stdout}${output.stderr}`);
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Process ids of the parts whose configuration lies below the directory, as `tracker`, `origin` or `agent`. */
function partsBelow(path: string): { pid: number; part: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = commandOf(pid);
      return command.some((word) => word.startsWith(path))
        ? [{ pid: Number(pid), part: command[2] ?? '' }]
        : [];
    });
}

function commandOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // ended meanwhile
  }
}

/** Its first part of that kind. */
function killPart({ directory }: RunningDemo, kind: string): void {
  const found = partsBelow(directory.path).find(({ part }) => part === kind);
  process.kill(found!.pid, 'SIGKILL');
}

async function expectNothingLeft({ directory }: RunningDemo): Promise<void> {
  expect(await readdir(directory.path)).toEqual([]);
  expect(partsBelow(directory.path)).toEqual([]);
}

describe('the demo', () => {
  test('brings the image to every node, verified, with each blob once over the link, and leaves nothing behind', async () => {
    await using demo = await startDemo(...SMALL, '--json');
    const { code, stdout, stderr } = await demo.ended;
    expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout });
    const summary: Record<string, unknown> = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
    const read = (name: string): number => Number(summary[name]);
    expect(summary).toMatchObject({ nodes: 3, verified: true });
    expect(read('imageBytes')).toBeGreaterThanOrEqual(20e6);
    expect(read('upstreamBytes')).toBeGreaterThanOrEqual(read('imageBytes'));
    expect(read('upstreamBytes')).toBeLessThan(read('imageBytes') * 1.01);
    expect(read('maxCrossings')).toBeLessThanOrEqual(1.01);
    const delivered = ['cacheBytes', 'peerBytes', 'originBytes', 'fallbackBytes'].map(read);
    expect(delivered.reduce((sum, bytes) => sum + bytes)).toBe(3 * read('imageBytes'));
    expect(read('peerBytes')).toBeGreaterThan(0);
    for (const name of ['p50Seconds', 'maxSeconds', 'directMaxSeconds', 'ttfbSeconds'])
      expect(read(name)).toBeGreaterThan(0);
    expect(stdout).toMatch(/^Pulling small images first, .* came after ([\d.]+ m?s, ){2}[\d.]+ m?s /mu);
    expect(stdout.match(/^agent-\d .* verified$/gm)).toHaveLength(3);
    await expectNothingLeft(demo);
  });

  test('stopped by Ctrl-C in the middle of the pulls leaves nothing behind', async () => {
    await using demo = await startDemo(...SMALL, '--upstream-rate', '2MB/s');
    await demo.said('Through Shoal');
    expect(partsBelow(demo.directory.path)).toHaveLength(6);
    demo.child.kill('SIGINT');
    expect(await demo.ended).toMatchObject({ code: 130, stderr: '' });
    await expectNothingLeft(demo);
  });

  test('all nodes get the image although the tracker is killed in the middle of the pulls', async () => {
    await using demo = await startDemo(...SMALL, '--upstream-rate', '4MB/s', '--no-direct');
    await demo.said('Through Shoal');
    killPart(demo, 'tracker');
    const { code, stdout } = await demo.ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout });
    expect(stdout.match(/^agent-\d .* verified$/gm)).toHaveLength(3);
    await expectNothingLeft(demo);
  });

  test('says so, and leaves nothing behind, when an agent is killed in the middle of its pull', async () => {
    await using demo = await startDemo(...SMALL, '--upstream-rate', '4MB/s', '--no-direct');
    await demo.said('Through Shoal');
    killPart(demo, 'agent');
    const { code, stdout } = await demo.ended;
    expect(code).toBe(1);
    expect(stdout).toMatch(/1 of 3 nodes have not got the image/u);
    await expectNothingLeft(demo);
  });

  test('tells a wrong option without starting anything', async () => {
    await using demo = await startDemo('--nodes', 'many');
    const { code, stderr } = await demo.ended;
    expect(code).toBe(2);
    expect(stderr).toContain('1 to 40 is allowed');
  });
});

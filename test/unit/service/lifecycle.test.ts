import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

import { run } from '#service/lifecycle.ts';

/** For a machine that is busy with other tests. */
const PATIENT = { timeout: 10_000 };

const PROCESS = fileURLToPath(new URL('./lifecycle-process.ts', import.meta.url));

/** A real process that lives by `run`. */
async function startProcess(kind: string) {
  const child = spawn(process.execPath, [PROCESS, kind], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const exited = once(child, 'exit');
  await expect.poll(() => output, PATIENT).toContain('up\n');
  return { child, exited, output: () => output };
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s stops what was started, last first, and ends with 0',
  async (signal) => {
    const { child, exited, output } = await startProcess('orderly');
    child.kill(signal);
    expect(await exited).toEqual([0, null]);
    expect(output()).toBe('up\nstopped b\nstopped a\nend\n');
  },
);

test('SIGHUP is told to the part and stops nothing', async () => {
  const { child, exited, output } = await startProcess('orderly');
  child.kill('SIGHUP');
  await expect.poll(output, PATIENT).toContain('reload\n');
  child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
});

test('a signal that comes twice at once, as npm hands on a Ctrl-C, does not cut the stop', async () => {
  const { child, exited, output } = await startProcess('slow');
  child.kill('SIGINT');
  await expect.poll(output, PATIENT).toContain('stopping\n');
  child.kill('SIGINT');
  expect(await exited).toEqual([0, null]);
  expect(output()).toContain('stopped b\nstopped a\nend\n');
});

test('a second signal ends a stop that hangs', async () => {
  const { child, exited, output } = await startProcess('hangs');
  child.kill('SIGTERM');
  await expect.poll(output, PATIENT).toContain('stopping\n');
  await sleep(1_100);
  child.kill('SIGTERM');
  expect(await exited).toEqual([1, null]);
});

test('a stop that outlasts the grace is ended', async () => {
  const { child, exited } = await startProcess('short-grace');
  child.kill('SIGTERM');
  expect(await exited).toEqual([1, null]);
});

test('a failed start stops what had been started and is thrown on', async () => {
  const stopped: string[] = [];
  const listeners = process.listenerCount('SIGTERM');
  const failing = run(async (_signal, stack) => {
    stack.defer(() => void stopped.push('first'));
    await Promise.reject(new Error('the port is taken'));
  });
  await expect(failing).rejects.toThrow('the port is taken');
  expect(stopped).toEqual(['first']);
  expect(process.listenerCount('SIGTERM')).toBe(listeners);
});

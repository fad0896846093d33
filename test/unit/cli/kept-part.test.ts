import { expect, test } from 'vitest';

import type { Child } from '#cli/dev/child.ts';
import { KeptPart } from '#cli/dev/kept-part.ts';

/** Children that end when they are told to, so that no test waits for processes. */
function harness(atEnd: 'at once' | 'when told' = 'when told') {
  let now = 0;
  let lines = '';
  const children: { end: (how: string) => void; stopped: boolean }[] = [];
  const start = (): Child => {
    const { promise: ended, resolve: end } = Promise.withResolvers<string>();
    const child = { end, stopped: false };
    children.push(child);
    if (atEnd === 'at once') end('ended with code 1');
    return {
      name: 'tracker',
      pid: children.length,
      ended,
      [Symbol.asyncDispose]: async () => {
        child.stopped = true;
        end('ended with code 0');
      },
    };
  };
  const part = new KeptPart(start(), {
    start: async () => start(),
    output: { write: (text) => void (lines += text) },
    now: () => now,
    backoff: { baseMs: 2, capMs: 4, random: () => 0 },
  });
  return { part, children, output: () => lines, pass: (ms: number) => void (now += ms) };
}

test('a part that ends again and again is given up, with its reason', async () => {
  const { part, children } = harness('at once');
  await expect(part.kept).rejects.toThrow('tracker ended with code 1, 6 times in a row');
  expect(children).toHaveLength(6);
});

test('a part that had run for a while is not counted with earlier endings', async () => {
  const { part, children, output, pass } = harness();
  for (let round = 1; round <= 8; round += 1) {
    pass(31_000);
    children.at(-1)?.end('was ended by SIGKILL');
    await expect.poll(() => children.length).toBe(round + 1);
  }
  expect(output()).toContain('tracker | was ended by SIGKILL; started again');
  await part[Symbol.asyncDispose]();
  await part.kept;
  expect(children.at(-1)?.stopped).toBe(true);
});

test('a part that is stopped is not started again', async () => {
  const { part, children, output } = harness();
  await part[Symbol.asyncDispose]();
  await part.kept;
  expect([children.length, output()]).toEqual([1, '']);
});

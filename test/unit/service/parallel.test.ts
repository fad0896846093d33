import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { inParallel } from '#service/parallel.ts';

const signal = new AbortController().signal;

test('every item is worked on once, and no more than the limit at one time', async () => {
  const done: number[] = [];
  let running = 0;
  let most = 0;
  const work = async (item: number): Promise<void> => {
    most = Math.max(most, ++running);
    await turn();
    running--;
    done.push(item);
  };
  await inParallel([1, 2, 3, 4, 5, 6, 7], work, { limit: 3, signal });
  expect(done.toSorted((one, other) => one - other)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(most).toBe(3);
});

test('the first failure ends what runs, which is waited for, and nothing more is begun', async () => {
  const begun: number[] = [];
  const ended: unknown[] = [];
  const work = async (item: number, either: AbortSignal): Promise<void> => {
    begun.push(item);
    await turn();
    if (item === 1) throw new Error('one is broken');
    while (!either.aborted) await turn();
    ended.push(either.reason);
    either.throwIfAborted();
  };
  const all = inParallel([1, 2, 3, 4], work, { limit: 3, signal });
  await expect(all).rejects.toThrow('one is broken');
  expect(begun).toEqual([1, 2, 3]);
  expect(ended).toEqual([expect.objectContaining({ message: 'one is broken' }), expect.anything()]);
});

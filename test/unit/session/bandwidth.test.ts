import { expect, test } from 'vitest';

import { Bandwidth } from '#swarm/session/bandwidth.ts';

const KIB = 1024;

test('who waits for a turn and gives up takes nothing from those who come after', async () => {
  let now = 0;
  using bandwidth = new Bandwidth(64 * KIB, () => now);
  const signal = new AbortController().signal;
  await bandwidth.passed('big', 320 * KIB, signal);
  const leaving = new AbortController();
  const left = bandwidth.passed('left', 10_000 * KIB, leaving.signal);
  const stays = bandwidth.passed('stays', KIB, signal);
  expect([bandwidth.holdsBack('left'), bandwidth.holdsBack('stays')]).toEqual([true, true]);
  leaving.abort(new Error('gave up'));
  await expect(left).rejects.toThrow('gave up');
  now = 2_000;
  bandwidth.setLimit(64 * KIB);
  await stays;
  expect(bandwidth.holdsBack('stays')).toBe(false);
});

test('without a limit nothing waits', async () => {
  using bandwidth = new Bandwidth(undefined, () => 0);
  await bandwidth.passed('blob', 1e12, new AbortController().signal);
  expect(bandwidth.holdsBack('blob')).toBe(false);
  await expect(bandwidth.passed('blob', 1, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
});

import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AwakeClock } from '#agent/pull/awake-clock.ts';

const HOUR_MS = 3_600_000;

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('counts the time in which the process runs, and of a pause no more than a step', () => {
  const clock = new AwakeClock(Date.now);
  using _ticking = clock.keepTicking();
  const from = clock.now();
  vi.advanceTimersByTime(2_000);
  expect(clock.now() - from).toBe(2_000);
  vi.setSystemTime(Date.now() + HOUR_MS);
  vi.advanceTimersByTime(100);
  expect(clock.now() - from).toBeLessThanOrEqual(2_350);
  const before = clock.now();
  vi.setSystemTime(Date.now() - 2 * HOUR_MS);
  vi.advanceTimersByTime(1_000);
  expect(clock.now() - before).toBeGreaterThan(700);
  expect(clock.now() - before).toBeLessThanOrEqual(1_000);
});

test('a patience outlasts a pause of the whole process: what came meanwhile is looked at first', async () => {
  vi.useRealTimers();
  const clock = new AwakeClock(() => performance.now());
  using _ticking = clock.keepTicking();
  let over = false;
  const passed = clock.passed(1_000, new AbortController().signal).then(() => (over = true));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
  await sleep(100);
  expect(over).toBe(false);
  expect(await passed).toBe(true);
});

test('ticks for as long as anybody needs it, and no longer', () => {
  const clock = new AwakeClock(Date.now);
  const ticking = [clock.keepTicking(), clock.keepTicking()];
  expect(vi.getTimerCount()).toBe(1);
  ticking[0]![Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(1);
  ticking[1]![Symbol.dispose]();
  expect(vi.getTimerCount()).toBe(0);
});

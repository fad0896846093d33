import { expect, test } from 'vitest';
import { RequestRate } from '#service/request-rate.ts';

function ask(rate: RequestRate, caller: string | undefined, times: number): number {
  return Array.from({ length: times }, () => rate.admits(caller)).filter(Boolean).length;
}

test('each caller may ask so often, and twice as much at once; those who cannot be told apart count as one', () => {
  let time = 0;
  const rate = new RequestRate({ perSecond: 10, callers: 100, now: () => time });
  expect(ask(rate, 'a', 25)).toBe(20);
  expect(ask(rate, undefined, 25)).toBe(20);
  expect(ask(rate, 'b', 5)).toBe(5);
  time = 1000;
  expect(ask(rate, 'a', 25)).toBe(10);
  time = 60_000;
  expect(ask(rate, 'a', 25)).toBe(20);
});

test('who has not asked for long makes room for others', () => {
  const rate = new RequestRate({ perSecond: 1, callers: 2, now: () => 0 });
  expect(ask(rate, 'a', 5)).toBe(2);
  ask(rate, 'b', 1);
  ask(rate, 'c', 1);
  expect(ask(rate, 'a', 5)).toBe(2);
});

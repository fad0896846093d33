import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Clock } from '../../../sim/clock.ts';

test('things happen in the order of their times, and in the order asked for where times are equal', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 3_000 }), (times) => {
      const clock = new Clock();
      const happened: { time: number; order: number; now: number }[] = [];
      for (const [order, time] of times.entries())
        clock.at(time, () => void happened.push({ time, order, now: clock.now }));
      clock.run(() => false, Infinity);
      const expected = times.map((time, order) => ({ time, order, now: time }));
      expect(happened).toEqual(expected.sort((a, b) => a.time - b.time || a.order - b.order));
    }),
    { numRuns: 30 },
  );
});

test('what is asked for while something happens comes in its turn, and what lies in the past at once', () => {
  const clock = new Clock();
  const seen: string[] = [];
  clock.at(10, () => {
    seen.push(`a ${clock.now}`);
    clock.at(5, () => void seen.push(`late ${clock.now}`));
    clock.after(1, () => void seen.push(`next ${clock.now}`));
  });
  clock.at(12, () => void seen.push(`b ${clock.now}`));
  clock.run(() => false, Infinity);
  expect(seen).toEqual(['a 10', 'late 10', 'next 11', 'b 12']);
});

test('nothing happens past the limit, or once it is said to be over', () => {
  const clock = new Clock();
  let count = 0;
  const tick = (): void => {
    count++;
    clock.after(10, tick);
  };
  tick();
  clock.run(() => false, 100);
  expect(count).toBe(11);
  clock.run(() => count === 15, Infinity);
  expect(count).toBe(15);
});

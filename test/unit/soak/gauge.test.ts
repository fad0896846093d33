import { expect, test } from 'vitest';
import { growthOf, trendOf } from '../../soak/gauge.ts';

const samples = Array.from({ length: 40 }, (_, at) => ({
  minutes: at / 4,
  rssMib: 100 + at / 2 + (at % 2 === 0 ? 3 : -3),
  descriptors: at < 30 ? 50 : 61,
}));

test('a process that grows by two MiB a minute is seen to, whatever it does in between', () => {
  const { rssMibPerMinute, rssMib } = trendOf('agent-1', samples, 0);
  expect(rssMibPerMinute).toBeCloseTo(2, 1);
  expect(rssMib[9]! - rssMib[0]!).toBeCloseTo(18, 1);
});

test('what a process takes until it is warm does not count', () => {
  const warming = samples.map((one, at) => ({ ...one, rssMib: Math.min(100 + 10 * at, 200) }));
  expect(trendOf('agent-1', warming, 0.3).rssMibPerMinute).toBe(0);
  expect(trendOf('agent-1', warming, 0).rssMibPerMinute).toBeGreaterThan(2);
});

test('descriptors that are left open at the end are seen', () => {
  expect(trendOf('agent-1', samples, 0).moreDescriptors).toBe(11);
});

test('a process that holds what it held is found well, one of which nothing was measured is not', () => {
  const steady = samples.map(({ minutes }) => ({ minutes, rssMib: 100, descriptors: 50 }));
  expect(growthOf(trendOf('agent-1', steady, 0))).toEqual([]);
  for (const few of [[], steady.slice(0, 1)]) expect(growthOf(trendOf('agent-1', few, 0))).not.toEqual([]);
});

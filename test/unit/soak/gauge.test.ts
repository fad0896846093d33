import { expect, test } from 'vitest';
import { trendOf } from '../../soak/gauge.ts';

const samples = Array.from({ length: 40 }, (_, at) => ({
  minutes: at / 4,
  rssMib: 100 + at / 2 + (at % 2 === 0 ? 3 : -3),
  descriptors: at < 30 ? 50 : 61,
}));

test('a process that grows by two MiB a minute is seen to, whatever it does in between', () => {
  const { rssMibPerMinute } = trendOf('agent-1', samples);
  expect(rssMibPerMinute).toBeCloseTo(2, 1);
});

test('descriptors that are left open at the end are seen', () => {
  expect(trendOf('agent-1', samples).moreDescriptors).toBe(11);
});

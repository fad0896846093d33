import { expect, test } from 'vitest';

import { portDanger, readTakenPorts } from '#service/config/ports.ts';

test("this machine's ephemeral range is read", () => {
  const [first, last] = readTakenPorts().ephemeral;
  expect(first).toBeGreaterThan(0);
  expect(last).toBeGreaterThanOrEqual(first);
});

test('a port beside both ranges is no danger, one at their edges is', () => {
  const taken = { ephemeral: [40_000, 50_000], reserved: [[41_000, 41_000]] } as const;
  expect([29_999, 32_768, 39_999, 41_000, 50_001].map((port) => portDanger(port, taken))).toEqual(
    Array(5).fill(undefined),
  );
  for (const port of [30_000, 32_767, 40_000, 40_999, 50_000])
    expect(portDanger(port, taken)).toContain(`port ${port} lies in`);
});

test('a reserved port in the NodePort range stays a danger', () => {
  const taken = { ephemeral: [32_768, 60_999], reserved: [[30_000, 32_767]] } as const;
  expect(portDanger(31_000, taken)).toContain('NodePort');
});

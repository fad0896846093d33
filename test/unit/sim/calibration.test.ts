import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compare, loadCalibration } from '../../../sim/calibration.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const RECORDED = await loadCalibration(join(import.meta.dirname, '../../../bench/calibration.json'));

describe('the simulator says within a tenth what the rig measured', () => {
  for (const entry of RECORDED) {
    const { scenario, nodes, rateMbit, bytes } = entry;
    test(`${scenario}, ${nodes} nodes, ${rateMbit} Mbit/s, ${bytes} bytes`, { timeout: 120_000 }, () => {
      const { p50, max } = compare(entry);
      for (const quotient of [p50, max]) {
        expect(quotient).toBeGreaterThan(0.9);
        expect(quotient).toBeLessThan(1.1);
      }
    });
  }
});

test('at least three scenarios of the rig are recorded', () => {
  expect(new Set(RECORDED.map(({ scenario }) => scenario)).size).toBeGreaterThanOrEqual(3);
});

test("the rig's figures are read as they were recorded, and a malformed file is told by what is wrong", async () => {
  await using directory = await temporaryDirectory('calibration');
  const path = join(directory.path, 'calibration.json');
  await expect(loadCalibration(path)).rejects.toThrow('calibration.json');
  const entry = {
    scenario: 'flash-crowd',
    nodes: 2,
    rateMbit: 100,
    bytes: 1e6,
    p50Seconds: 0.09,
    maxSeconds: 0.1,
  };
  await writeFile(path, JSON.stringify([entry]));
  expect(await loadCalibration(path)).toEqual([entry]);
  await writeFile(path, JSON.stringify([{ ...entry, nodes: 0 }]));
  await expect(loadCalibration(path)).rejects.toThrow(/calibration\.json: \/0\/nodes/);
});

test('a recorded run is simulated with its own nodes, rate and bytes', () => {
  const run = { scenario: 'flash-crowd', nodes: 3, rateMbit: 80, bytes: 4 * 1024 * 1024 };
  const entry = { ...run, p50Seconds: 1, maxSeconds: 0.5 };
  const { p50, max } = compare(entry);
  // 4 MiB at 10 MB/s take 0.42 s; the first pieces have to be passed on.
  expect(max * 0.5).toBeGreaterThan(0.42);
  expect(max * 0.5).toBeLessThan(1);
  expect(p50).toBeLessThanOrEqual(max * 0.5);
  expect(() => compare({ ...entry, scenario: 'none' })).toThrow('no scenario has the name none');
});

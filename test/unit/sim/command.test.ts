import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const SIM = join(import.meta.dirname, '../../../sim/sim.ts');
const TINY = ['--nodes', '2', '--bytes', '4000000', '--rate-mbit', '1000', '--json'];

async function sim(...args: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await run(process.execPath, [SIM, ...args]);
  const report: Record<string, unknown> = JSON.parse(stdout.trim().split('\n').at(-1)!);
  return report;
}

test('the last line is one object with all that was measured', async () => {
  const report = await sim('flash-crowd', ...TINY);
  for (const key of ['boundSeconds', 'p50Seconds', 'p99Seconds', 'p999Seconds', 'announcesPerSecond'])
    expect(report[key]).toBeTypeOf('number');
  expect(report).toMatchObject({ scenario: 'flash-crowd', hosts: 2, finished: 2, originUploadOverF: 1 });
  expect(report['connectionsPerHost']).toBe(2);
});

test('a policy constant is given another value for one run, in the decisions themselves', async () => {
  const args = ['flash-crowd', '--nodes', '6', '--bytes', '20000000', '--json'];
  const usual = await sim(...args);
  const varied = await sim(...args, '--set', 'UPLOAD_SLOTS=1', '--set', 'OPTIMISTIC_SLOTS=0');
  expect(varied['set']).toEqual({ UPLOAD_SLOTS: '1', OPTIMISTIC_SLOTS: '0' });
  expect(Number(varied['maxSeconds'])).toBeGreaterThan(Number(usual['maxSeconds']) * 1.5);
});

test('what it does not know it refuses, and says what it knows', async () => {
  await expect(sim('nothing', ...TINY)).rejects.toThrow('no scenario has the name nothing');
  await expect(sim('flash-crowd', ...TINY, '--set', 'NO_SUCH=1')).rejects.toThrow('NO_SUCH');
  await expect(sim('flash-crowd', '--nodes=-1')).rejects.toThrow('--nodes -1: allowed is a number from 1');
  await expect(sim('flash-crowd', '--nodes', '1.5')).rejects.toThrow('allowed is a whole number from 1');
  await expect(sim('flash-crowd', '--frob')).rejects.toThrow("Unknown option '--frob'");
  await expect(sim('flash-crowd', '--set', 'UPLOAD_SLOTS=-1')).rejects.toThrow('allowed is NAME=number');
  await expect(sim()).rejects.toThrow('exactly one scenario');
});

test('it says how it is used when asked', async () => {
  const { stdout } = await run(process.execPath, [SIM, '--help']);
  for (const told of ['npm run sim -- <scenario>', 'unequal', '--grain']) expect(stdout).toContain(told);
});

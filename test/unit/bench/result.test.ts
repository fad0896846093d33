import { describe, expect, test } from 'vitest';
import { parseOptions } from '../../../bench/options.ts';
import { percentile, toResult } from '../../../bench/result.ts';
import { Account } from '../../../bench/rig/account.ts';
import { sumOf } from '../../../bench/rig/exposition.ts';
import { parsePeakRss, parseTimes, readUsage } from '../../../bench/rig/usage.ts';
import type { Pulled } from '../../../bench/scenario.ts';
import { SCENARIOS } from '../../../bench/scenarios.ts';
import { renderTable } from '../../../bench/table.ts';

const BYTES = 1000;

function pulled(agent: string, seconds: number, boundSeconds: number | undefined): Pulled {
  const fetched = [{ seconds, firstByteSeconds: seconds / 10, bytes: BYTES }];
  return { agent, report: { seconds, fetched }, boundSeconds };
}

function outcomeOf(pulls: readonly Pulled[]): Parameters<typeof toResult>[1] {
  const measured = {
    result: pulls,
    account: new Account(),
    originInterfaceBytes: 1100,
    agentsReceivedBytes: 4400,
    upstreamBytes: 2000,
    trunkBytes: 0,
    otherBusyCores: 0.25,
    inMemory: true,
  };
  return { bytes: BYTES, measured, direct: undefined };
}

describe('the result of a run', () => {
  const options = parseOptions(['unequal', '--nodes', '4'], SCENARIOS);
  const pulls = [pulled('a', 4, 4), pulled('b', 3, 1), pulled('c', 1, 1), pulled('d', 2, 1)];

  test('has the keys that others read', () => {
    expect(toResult(options, outcomeOf(pulls))).toMatchObject({
      scenario: 'unequal',
      nodes: 4,
      rateMbit: 100,
      bytes: BYTES,
      boundSeconds: 4,
      p50Seconds: 2,
      maxSeconds: 4,
      ttfbSeconds: 0.4,
      originUploadOverF: 0,
      originInterfaceOverF: 1.1,
      receivedOverPulled: 1.1,
      upstreamOverF: 2,
      cpuSecondsPerGiB: { agent: 0, origin: 0, tracker: 0 },
      peakRssMiB: { agent: 0, origin: 0, tracker: 0 },
      direct: null,
    });
  });

  test('compares each agent with its own bound', () => {
    expect(toResult(options, outcomeOf(pulls)).ratio).toBe(3);
  });

  test('has no bound where links are not shaped', () => {
    const result = toResult(options, outcomeOf([pulled('a', 4, undefined)]));
    expect(result).toMatchObject({ boundSeconds: null, ratio: null });
  });

  test('is one line of JSON, and a table with a line for each agent', () => {
    const outcome = outcomeOf(pulls);
    const result = toResult(options, outcome);
    expect(JSON.stringify(result)).not.toContain('\n');
    expect(renderTable(result, outcome)).toMatch(/^agent .*\na .*\nb +3\.00 +1\.00 +3\.000/);
  });
});

test('a percentile is one of the values', () => {
  const values = [5, 1, 4, 2, 3];
  expect([0.5, 0.99, 1, 0].map((part) => percentile(values, part))).toEqual([3, 5, 5, 1]);
});

describe('what a process used', () => {
  test('is read although its name holds spaces and parentheses', () => {
    const stat = `7 (a ) b) S ${Array.from({ length: 40 }, (_, index) => index + 4).join(' ')}`;
    // Fields 14 to 17 of proc(5).
    expect(parseTimes(stat)).toEqual({
      cpuSeconds: (14 + 15 + 16 + 17) / 100,
      systemSeconds: (15 + 17) / 100,
    });
  });

  test('is what the kernel says of this one', async () => {
    const { cpuSeconds, peakRssMiB } = await readUsage(process.pid);
    const { user, system } = process.cpuUsage();
    expect(Math.abs(cpuSeconds - (user + system) / 1e6)).toBeLessThan(0.5);
    // Not against maxRSS, which a process takes over from the one that it was forked from.
    expect(peakRssMiB).toBeGreaterThanOrEqual(Math.floor(process.memoryUsage().rss / 2 ** 20) - 1);
  });

  test('has no memory once it has ended', () => {
    expect(parsePeakRss('Name:\tnode\nState:\tZ (zombie)\n')).toBe(0);
  });
});

test('a counter is summed over its labels, and not confused with one whose name begins alike', () => {
  const text = [
    '# TYPE sent_bytes_total counter',
    'sent_bytes_total{role="agent"} 5',
    'sent_bytes_total{role="origin"} 7e2',
    'sent_bytes_total_more 9',
    'plain 3',
  ].join('\n');
  expect(sumOf(text, 'sent_bytes_total')).toBe(705);
  expect(sumOf(text, 'sent_bytes_total', 'role="agent"')).toBe(5);
  expect(sumOf(text, 'plain')).toBe(3);
  expect(sumOf(text, 'none')).toBe(0);
});

import { expect, test } from 'vitest';

import { describeStatus } from '#cli/admin-answers.ts';

import { STATUS } from './status-fixture.ts';

const linesOf = (answer: unknown): string[] => describeStatus(answer).split('\n');

test('an agent is summed up in one line, its figures have units and stand in columns', () => {
  expect(linesOf(STATUS)).toEqual([
    'idle; holds 1 blob, 2.0 kB',
    '',
    'pulls     0 running, 0 requests at the door',
    'store     2.0 kB of 8.0 kB (25 %), 0 B half done, 0 blobs evicted',
    'swarm     1 blob offered, 0 downloading, 0 connections',
    'trackers  10.0.0.2:29510 (reachable)',
    'origins   10.0.0.3:29520, 10.0.0.4:29520 (reachable)',
    'limits    download none, upload none',
  ]);
});

test('what keeps an agent from its work is told in words', () => {
  const answer = {
    ...STATUS,
    pulls: 2,
    store: { ...STATUS.store, refusals: 3 },
    limits: { downloadBytesPerSecond: 20_000_000, uploadBytesPerSecond: null },
    trackers: { members: [], reachable: true },
    origins: { members: ['10.0.0.3:29520'], reachable: false },
  };
  const text = describeStatus(answer);
  expect(text).toMatch(/^2 pulls; holds 1 blob, 2\.0 kB; no origin answers$/mu);
  expect(text).toMatch(/, 3 blobs not kept for want of room$/mu);
  expect(text).toMatch(/^trackers +none known$/mu);
  expect(text).toMatch(/^origins +10\.0\.0\.3:29520 \(none answers\)$/mu);
  expect(text).toMatch(/^limits +download 20\.0 MB\/s, upload none$/mu);
});

test('an origin has reads in the place of pulls, and says nothing of other members', () => {
  const { store, limits, swarm } = STATUS;
  const lines = linesOf({ store, limits, swarm, reads: 1 });
  expect(lines[0]).toBe('1 read; holds 1 blob, 2.0 kB');
  expect(lines.slice(2).map((line) => line.split(' ')[0])).toEqual(['reads', 'store', 'swarm', 'limits']);
});

test('an agent of another version is said to be one', () => {
  expect(() => describeStatus({ store: {} })).toThrow(
    'the agent is of another version; it says: {"store":{}}',
  );
});

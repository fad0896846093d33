import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';

import { AgentEvents } from '#agent/events.ts';
import { createAgentMetrics } from '#agent/metrics.ts';
import { SELF_TEST } from '#registry/self-test.ts';
import { createMetrics } from '#service/metrics.ts';

let lines: { level: string; msg: string }[];
let now: number;
let events: AgentEvents;
beforeEach(() => {
  lines = [];
  now = 1000;
  const options = { level: 'debug', formatters: { level: (level: string) => ({ level }) } };
  const logger = pino(options, { write: (line: string) => void lines.push(JSON.parse(line)) });
  events = new AgentEvents(logger, createAgentMetrics(createMetrics('agent', { process: false })), () => now);
});

const levels = (): string[] => lines.map(({ level }) => level);

test('an origin that does not answer is no warning right after the start, and is one later', () => {
  events.originFailed('o:1', new Error('connect ECONNREFUSED'));
  now += 29_000;
  events.originFailed('o:1', new Error('connect ECONNREFUSED'));
  now += 2000;
  events.originFailed('o:1', new Error('connect ECONNREFUSED'));
  expect(levels()).toEqual(['info', 'info', 'warn']);
});

test("a failed pull is a warning, but for the self-test's, which are tried again", () => {
  const pull = {
    kind: 'manifest',
    reference: '1',
    outcome: 'unavailable',
    status: 503,
    sources: { cache: 0, peer: 0, origin: 0, upstream: 0 },
    seconds: 0,
  } as const;
  events.pulled({ ...pull, caller: SELF_TEST });
  events.pulled({ ...pull, caller: { registry: 'ghcr.io', repository: 'org/app' } });
  expect(levels()).toEqual(['debug', 'warn']);
});

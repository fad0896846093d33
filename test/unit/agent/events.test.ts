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

const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });

test('an origin that does not answer is no warning right after the start, and is one later', () => {
  events.originFailed('o:1', refused);
  now += 29_000;
  events.originFailed('o:1', new Error('lost', { cause: refused }));
  now += 2000;
  events.originFailed('o:1', refused);
  expect(levels()).toEqual(['info', 'info', 'warn']);
});

test.each(['ENOTFOUND', 'EHOSTUNREACH', 'ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'])(
  '%s too may be of an origin that is yet to come',
  (code) => {
    events.originFailed('o:1', Object.assign(new Error('no way'), { code }));
    expect(levels()).toEqual(['info']);
  },
);

test('nor is one a warning that does not answer in time', async () => {
  const signal = AbortSignal.timeout(1);
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  events.originFailed('o:1', signal.reason);
  expect(levels()).toEqual(['info']);
});

test.each([
  'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'ERR_SSL_WRONG_VERSION_NUMBER',
])('another cluster key or authority (%s) is a warning from the start: no waiting heals it', (code) => {
  const cause = Object.assign(new Error('handshake'), { code });
  events.originFailed('o:1', new Error('it has another cluster key', { cause }));
  events.originFailed('o:1', new Error('the origin is out of order'));
  expect(levels()).toEqual(['warn', 'warn']);
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

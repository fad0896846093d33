import { pino } from 'pino';
import { expect, test } from 'vitest';

import { AgentEvents } from '#agent/events.ts';
import { createAgentMetrics } from '#agent/metrics.ts';
import type { Verdict } from '#agent/rights/verdicts.ts';
import { createMetrics } from '#service/metrics.ts';

function refused(status: 401 | 403 | 404): Verdict {
  return { outcome: 'refused', refusal: { status, challenges: [], body: '{}' } };
}

test('a registry that forbids pulls or limits them is to be told of; one that asks who is there is not', () => {
  const events = new AgentEvents(
    pino({ level: 'silent' }),
    createAgentMetrics(createMetrics('agent', { process: false })),
    () => 0,
  );
  events.judged(refused(401));
  events.judged(refused(404));
  events.judged({ outcome: 'positive', by: 'cache' });
  expect(events.denials).toBe(0);
  events.judged(refused(403));
  events.judged({ outcome: 'throttled' });
  expect(events.denials).toBe(2);
});

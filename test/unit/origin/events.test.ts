import { pino } from 'pino';
import { expect, test } from 'vitest';
import { OriginEvents } from '#origin/events.ts';
import { createOriginMetrics } from '#origin/metrics.ts';
import { createMetrics } from '#service/metrics.ts';

test('another origin that is yet to come is no warning; one with another cluster key is, from the start', () => {
  const levels: string[] = [];
  const logger = pino(
    { formatters: { level: (level: string) => ({ level }) } },
    { write: (line: string) => void levels.push(JSON.parse(line).level) },
  );
  let now = 0;
  const metrics = createOriginMetrics(createMetrics('origin', { process: false }));
  const events = new OriginEvents(logger, metrics, () => now);
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  const otherKey = Object.assign(new Error('handshake'), { code: 'ERR_SSL_SSL/TLS_ALERT_BAD_RECORD_MAC' });
  events.lost('o:1', refused);
  events.lost('o:1', new Error('it has another cluster key', { cause: otherKey }));
  now += 31_000;
  events.lost('o:1', refused);
  expect(levels).toEqual(['info', 'warn', 'warn']);
});

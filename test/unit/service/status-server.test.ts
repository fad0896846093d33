import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import performanceHooks from 'node:perf_hooks';
import { expect, test, vi } from 'vitest';

import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { startStatusServer } from '#service/status-server.ts';
import type { StatusServerOptions } from '#service/status-server.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { withKeys } from '../../support/with-keys.ts';

const security = withKeys(randomBytes(32));

function start(options: Partial<StatusServerOptions> = {}) {
  const metrics = createMetrics('test');
  metrics.counter('pulls_total', 'Pulls', ['result']).inc({ result: 'ok' }, 3);
  return startStatusServer({
    listen: '127.0.0.1:0',
    security,
    metrics,
    readiness: () => ({ ready: true, reasons: [] }),
    logger: createLogger('test', { level: 'silent' }),
    ...options,
  });
}

async function get(port: number, path: string, token?: string): Promise<[number, string]> {
  const answer = await fetch(
    `http://127.0.0.1:${port}${path}`,
    token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
  );
  return [answer.status, await answer.text()];
}

test('on loopback anyone on the machine reads metrics, the process’ own among them', async () => {
  await using server = await start();
  const [status, text] = await get(server.port, '/metrics');
  expect(status).toBe(200);
  expect(text).toContain('shoal_test_pulls_total{result="ok"} 3');
  expect(text).toContain('process_resident_memory_bytes');
  expect(text).toContain('nodejs_eventloop_lag_seconds');
});

test('no metric has the process woken many times a second while nobody asks', async () => {
  using monitor = vi.spyOn(performanceHooks, 'monitorEventLoopDelay');
  await using server = await start();
  const resolutions = monitor.mock.calls.map(([options]) => options?.resolution ?? 10);
  expect(resolutions.filter((ms) => ms < 60_000)).toEqual([]);
  // What is not sampled is not shown either.
  expect((await get(server.port, '/metrics'))[1]).not.toContain('eventloop_lag_p99');
});

test('readiness follows the part; who is on the machine is told why', async () => {
  const state = { ready: false, reasons: ['the door is not open yet', 'stopping'] };
  await using server = await start({ readiness: () => state });
  expect(await get(server.port, '/readyz')).toEqual([503, 'not ready\nthe door is not open yet\nstopping\n']);
  state.ready = true;
  expect(await get(server.port, '/readyz')).toEqual([200, 'ok\n']);
  expect(await get(server.port, '/healthz')).toEqual([200, 'ok\n']);
});

test('a caller from another machine is told no reasons', async () => {
  const other = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4');
  if (other === undefined) return; // a machine with no network has no such callers
  await using server = await start({
    listen: '0.0.0.0:0',
    readiness: () => ({ ready: false, reasons: ['tracker 10.0.0.7 does not answer'] }),
  });
  // From its own address, as a kubelet asks.
  const answer = await fetch(`http://${other.address}:${server.port}/readyz`);
  expect([answer.status, await answer.text()]).toEqual([503, 'not ready\n']);
});

test('outside loopback metrics want the token, which may be rotated; health does not', async () => {
  await using dir = await temporaryDirectory();
  const metricsTokenFile = dir.join('token');
  await writeFile(metricsTokenFile, 'first\n');
  await using server = await start({ listen: '0.0.0.0:0', metricsTokenFile });
  expect((await get(server.port, '/metrics'))[0]).toBe(401);
  expect((await get(server.port, '/metrics', 'wrong'))[0]).toBe(401);
  expect((await get(server.port, '/metrics', 'first'))[0]).toBe(200);
  await writeFile(metricsTokenFile, 'second\n');
  expect((await get(server.port, '/metrics', 'first'))[0]).toBe(401);
  expect((await get(server.port, '/metrics', 'second'))[0]).toBe(200);
  expect((await get(server.port, '/healthz'))[0]).toBe(200);
});

test('outside loopback an empty or missing token opens nothing', async () => {
  await using dir = await temporaryDirectory();
  const metricsTokenFile = dir.join('token');
  await writeFile(metricsTokenFile, '\n');
  await using empty = await start({ listen: '0.0.0.0:0', metricsTokenFile });
  expect((await get(empty.port, '/metrics', ''))[0]).toBe(401);
  await using none = await start({ listen: '0.0.0.0:0' });
  expect((await get(none.port, '/metrics'))[0]).toBe(403);
});

test('with security off metrics are open', async () => {
  await using server = await start({ listen: '0.0.0.0:0', security: { mode: 'off' } });
  expect((await get(server.port, '/metrics'))[0]).toBe(200);
});

test('a metric asked for twice is one', async () => {
  const metrics = createMetrics('test', { process: false });
  metrics.counter('a_total', 'A').inc();
  metrics.counter('a_total', 'A').inc();
  metrics.gauge('held_bytes', 'Held', [], (gauge) => gauge.set(7));
  metrics.histogram('wait_seconds', 'Wait', [1, 2]).observe(1.5);
  const { text } = await metrics.expose();
  expect(text).toContain('shoal_test_a_total 2');
  expect(text).toContain('shoal_test_held_bytes 7');
  expect(text).toContain('shoal_test_wait_seconds_bucket{le="2"} 1');
});

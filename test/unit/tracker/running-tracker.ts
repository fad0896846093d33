import { randomBytes } from 'node:crypto';
import { Agent } from 'undici';

import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import type { Metrics } from '#service/metrics.ts';
import { startTracker } from '#tracker/tracker.ts';
import type { RunningTracker, TrackerParts } from '#tracker/tracker.ts';

type Config = Parameters<typeof startTracker>[0];

export interface TestTracker extends AsyncDisposable {
  readonly running: RunningTracker;
  readonly metrics: Metrics;
  /** One value of `/metrics`; 0 where there is none. */
  metric(line: string): Promise<number>;
  /** JSON posted to a route. */
  post(path: string, body: unknown, method?: 'POST' | 'DELETE'): Promise<{ status: number; body: unknown }>;
}

/** A tracker on loopback, without security unless told. */
export async function runTracker(
  config: Partial<Config> = {},
  parts: Partial<TrackerParts> = {},
): Promise<TestTracker> {
  const metrics = createMetrics('tracker', { process: false });
  const logger = createLogger('tracker', { level: 'silent' });
  const full: Config = {
    security: 'off',
    mtls: { name: 'member.shoal.internal' },
    log: { level: 'silent' },
    status: { listen: '127.0.0.1:0' },
    listen: '127.0.0.1:0',
    announceIntervalMs: 30_000,
    memberTimeoutMs: 75_000,
    maxPeersPerAnswer: 50,
    maxCrossZonePeers: 4,
    leases: { perBlob: 2, ttlMs: 10_000 },
    kubernetes: {
      enabled: false,
      agentService: 'shoal-agent',
      lease: 'shoal-tracker',
      startupTaint: false,
      zoneLabel: 'zone',
      regionLabel: 'region',
      rackLabel: 'rack',
    },
    strangers: {},
    ...config,
  };
  const client = new Agent();
  const running = await startTracker(full, {
    signal: new AbortController().signal,
    logger,
    metrics,
    ...parts,
  });
  return {
    running,
    metrics,
    async metric(line) {
      const { text } = await metrics.expose();
      const found = text.split('\n').find((given) => given.startsWith(`shoal_tracker_${line} `));
      return Number(found?.split(' ').at(-1) ?? 0);
    },
    async post(path, body, method = 'POST') {
      const answer = await client.request({
        origin: `http://${running.address}`,
        path,
        method,
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await answer.body.text();
      return { status: answer.statusCode, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
    },
    async [Symbol.asyncDispose]() {
      await client.destroy();
      await running[Symbol.asyncDispose]();
    },
  };
}

/** Random hex of so many bytes: 20 for swarms, info-hashes and peers, 16 for sessions. */
export function hexId(bytes = 20): string {
  return randomBytes(bytes).toString('hex');
}

export const DIGEST = `sha256:${'5'.repeat(64)}`;

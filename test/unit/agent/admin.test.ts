import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { startAgent } from '#agent/agent.ts';
import { askAdmin } from '#service/admin-client.ts';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { startAgentFixture } from './agent-fixture.ts';

const signal = AbortSignal.timeout(15_000);

test('the admin socket prunes, limits and tells', async () => {
  await using upstream = await UpstreamRegistry.start();
  const digest = upstream.content.addBlob('app', deterministicBytes('admin', 5000));
  await using agent = await startAgentFixture({ registries: [upstream] });
  await agent.get(upstream, `app/blobs/${digest}`);
  await agent.stored(1);
  const socket = agent.directory.join('store', 'admin.sock');
  const ask = (method: string, path: string, body?: unknown) =>
    askAdmin(socket, { method, path, body }, signal);

  expect(await ask('GET', '/v1/status')).toMatchObject({
    store: { blobs: 1, bytes: 5000 },
    swarm: { torrents: 0 },
    limits: { downloadBytesPerSecond: null, uploadBytesPerSecond: null },
    requests: 0,
  });
  expect(await ask('PATCH', '/v1/limits', { downloadBytesPerSecond: 1_000_000 })).toEqual({
    downloadBytesPerSecond: 1_000_000,
    uploadBytesPerSecond: null,
  });
  expect(
    await ask('PATCH', '/v1/limits', { downloadBytesPerSecond: null, uploadBytesPerSecond: 64_000 }),
  ).toEqual({
    downloadBytesPerSecond: null,
    uploadBytesPerSecond: 64_000,
  });
  await expect(ask('PATCH', '/v1/limits', { uploadBytesPerSecond: -1 })).rejects.toThrow(
    /uploadBytesPerSecond/u,
  );
  for (const rate of [0, 5, 63_999, 2e12])
    await expect(ask('PATCH', '/v1/limits', { downloadBytesPerSecond: rate })).rejects.toThrow(
      /downloadBytesPerSecond is .*from 64kB\/s to 1TB\/s, or none/u,
    );
  expect(await ask('GET', '/v1/status')).toMatchObject({ limits: { downloadBytesPerSecond: null } });
  await expect(ask('POST', '/v1/prune', { everything: true })).rejects.toThrow(/everything/u);
  // Its writer lets go of it a moment after it is stored.
  await expect
    .poll(() => ask('POST', '/v1/prune', { all: true }))
    .toEqual({ blobs: 1, bytes: 5000, inUse: 0 });

  upstream.log.clear();
  expect(await agent.get(upstream, `app/blobs/${digest}`)).toMatchObject({ status: 200, complete: true });
  expect(upstream.log.gets).toBe(1);
});

test('a second agent on the same store does not start, and the first goes on as if nothing had been', async () => {
  await using upstream = await UpstreamRegistry.start();
  const digest = upstream.content.addBlob('app', deterministicBytes('twice', 5000));
  await using agent = await startAgentFixture({ registries: [upstream] });
  await agent.get(upstream, `app/blobs/${digest}`);
  await agent.stored(1);
  const files = async (): Promise<string[]> =>
    (await readdir(agent.directory.join('store'), { recursive: true })).toSorted();
  await expect.poll(files).not.toContain('v1/temporary/1/data');
  const before = await files();

  const file = agent.directory.join('agent.yaml');
  const parts = {
    signal,
    logger: createLogger('agent', { level: 'silent' }),
    metrics: createMetrics('agent', { process: false }),
    env: {},
  };
  await expect(startAgent(loadConfig('agent', { file }), parts)).rejects.toThrow(
    /another process already uses .*two parts cannot share a data directory/u,
  );
  expect(await files()).toEqual(before);
  upstream.log.clear();
  expect(await agent.get(upstream, `app/blobs/${digest}`)).toMatchObject({ status: 200, complete: true });
  expect(upstream.log.gets).toBe(0);
});

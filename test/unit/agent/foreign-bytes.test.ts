import { expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey } from '#service/signing.ts';
import { startTracker } from '#tracker/tracker.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { type AgentFixture, type AgentFixtureOptions, startAgentFixture } from './agent-fixture.ts';
import { OriginStandIn } from './origin-stand-in.ts';

const MIB = 1024 * 1024;
const BLOB = deterministicBytes('secret', 6 * MIB + 99);
const SHA = sha256Hex(BLOB);
const PATH = `team/app/blobs/sha256:${SHA}`;

/** A registry with a secret, one of an attacker's that says it has it too, an origin, and agents that trust it. */
async function startCluster() {
  const stack = new AsyncDisposableStack();
  const owner = stack.use(await UpstreamRegistry.start());
  owner.content.addBlob('team/app', BLOB);
  const hostile = stack.use(await UpstreamRegistry.start());
  hostile.configure({ headLies: { size: BLOB.length } });
  const flags = { security: 'off', listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' };
  const parts = {
    signal: new AbortController().signal,
    logger: createLogger('tracker', { level: 'silent' }),
    metrics: createMetrics('tracker', { process: false }),
  };
  const { address: tracker } = stack.use(await startTracker(loadConfig('tracker', { flags }), parts));
  const signer = generateSigningKey();
  const origin = stack.use(await OriginStandIn.start({ tracker, signer }));
  origin.add(BLOB);
  const agent = async (options: Partial<AgentFixtureOptions> = {}): Promise<AgentFixture> =>
    stack.use(
      await startAgentFixture({
        registries: [owner, hostile],
        trackers: [tracker],
        origins: [origin.address],
        trustedOriginKeys: [signer.publicKey.toString('base64')],
        ...options,
      }),
    );
  return { owner, hostile, origin, agent, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** How many of the secret's bytes a caller of that registry has got when it leaves. */
async function stolen(ms: number, agent: AgentFixture, registry: UpstreamRegistry): Promise<number> {
  const url = `http://${agent.agent.address}/v2/${PATH}?ns=${registry.host}`;
  const got: Uint8Array[] = [];
  try {
    const { body } = await fetch(url, { signal: AbortSignal.timeout(ms) });
    for await (const chunk of body ?? []) got.push(chunk);
  } catch {
    // It is what came that counts.
  }
  const bytes = Buffer.concat(got);
  return bytes.length > 0 && BLOB.includes(bytes.subarray(0, 64)) ? bytes.length : 0;
}

const faults = [
  { kind: 'hang' },
  { kind: 'trickle', bytesPerSecond: 64 },
  { kind: 'status', status: 503 },
  { kind: 'ignore-range' },
] as const;

test.each(faults)(
  'a registry that claims a held digest and does not deliver ($kind) gets nothing of it, though the origin reads in its name',
  async (fault) => {
    await using cluster = await startCluster();
    const { owner, hostile, origin } = cluster;
    const agent = await cluster.agent();
    expect(await agent.get(owner, PATH)).toMatchObject({ status: 200, sha256: SHA, complete: true });
    await agent.stored(1);
    hostile.content.addBlob('team/app', deterministicBytes('anything', BLOB.length));
    hostile.faults.inject(fault, { method: 'GET' });
    // As if the origin's own read of the registry trickled likewise.
    origin.pieces = 0;
    expect(await stolen(1_500, agent, hostile)).toBe(0);
    expect(origin.asked.length).toBe(2);
  },
);

test('a neighbour that holds what another registry delivered gives none of it to a read of the claimed digest', async () => {
  await using cluster = await startCluster();
  const { owner, hostile, origin } = cluster;
  const neighbour = await cluster.agent();
  await neighbour.get(owner, PATH);
  await neighbour.stored(1);
  hostile.faults.inject({ kind: 'hang' }, { method: 'GET' });
  origin.pieces = 0;
  expect(await stolen(4_000, await cluster.agent(), hostile)).toBe(0);
});

test('what neighbours gave before a restart is not taken for the bytes of a registry that only claims them', async () => {
  await using cluster = await startCluster();
  const { owner, hostile } = cluster;
  cluster.origin.scope = 'verified';
  const neighbour = await cluster.agent();
  await neighbour.get(owner, PATH);
  await neighbour.stored(1);
  hostile.faults.inject({ kind: 'hang' }, { method: 'GET' });
  const slow = await cluster.agent({ origins: [], bandwidth: { download: '1MB/s' } });
  const leaving = new AbortController();
  const pulling = slow.get(hostile, PATH, { signal: leaving.signal });
  while ((await slow.metric('pieces_verified_bytes_total', { source: 'peer' })) < MIB) await sleep(20);
  leaving.abort();
  await expect(pulling).rejects.toThrow('aborted');
  const agent = await cluster.agent({ origins: [], after: slow, bandwidth: { download: '1MB/s' } });
  expect(await stolen(1_500, agent, hostile)).toBe(0);
});

test('a node that reaches no origin, and whose neighbour has only the front, gets all of it from the registry soon', async () => {
  await using cluster = await startCluster();
  const { owner, origin } = cluster;
  origin.pieces = 12;
  const neighbour = await cluster.agent({ fallback: { stall: '30s', upstreamWait: '30s' } });
  const leaving = new AbortController();
  const pulling = neighbour.get(owner, PATH, { signal: leaving.signal });
  pulling.catch(() => {});
  await expect
    .poll(() => neighbour.metric('pieces_verified_bytes_total'))
    .toBeGreaterThanOrEqual(12 * (MIB / 4));
  const agent = await cluster.agent({ origins: [] });
  const pulled = await agent.get(owner, PATH, { signal: AbortSignal.timeout(8_000) });
  expect(pulled).toMatchObject({ status: 200, sha256: SHA, complete: true });
  leaving.abort();
});

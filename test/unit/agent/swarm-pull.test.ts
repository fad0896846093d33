import { describe, expect, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { askAdmin } from '#service/admin-client.ts';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey } from '#service/signing.ts';
import { startTracker } from '#tracker/tracker.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';
import { type AgentFixture, type AgentFixtureOptions, Arrival, startAgentFixture } from './agent-fixture.ts';
import { OriginStandIn } from './origin-stand-in.ts';

const MIB = 1024 * 1024;
const BLOB = deterministicBytes('swarm', 6 * MIB + 99);
const SHA = sha256Hex(BLOB);
const PATH = `team/app/blobs/sha256:${SHA}`;
const PIECES = Math.ceil(BLOB.length / (256 * 1024));

/** A registry, a tracker and origins that hold the blob; agents on demand. */
class Cluster implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #signer = generateSigningKey();
  upstream!: UpstreamRegistry;
  tracker!: string;
  readonly origins: OriginStandIn[] = [];

  static async start(origins: number): Promise<Cluster> {
    const cluster = new Cluster();
    cluster.upstream = cluster.#stack.use(await UpstreamRegistry.start());
    cluster.upstream.content.addBlob('team/app', BLOB);
    const flags = { security: 'off', listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' };
    const parts = {
      signal: new AbortController().signal,
      logger: createLogger('tracker', { level: 'silent' }),
      metrics: createMetrics('tracker', { process: false }),
    };
    cluster.tracker = cluster.#stack.use(await startTracker(loadConfig('tracker', { flags }), parts)).address;
    for (let n = 0; n < origins; n += 1) {
      const options = { tracker: cluster.tracker, signer: cluster.#signer };
      const origin = cluster.#stack.use(await OriginStandIn.start(options));
      origin.add(BLOB);
      cluster.origins.push(origin);
    }
    return cluster;
  }

  async agent(options: Partial<AgentFixtureOptions> = {}): Promise<AgentFixture> {
    return this.#stack.use(
      await startAgentFixture({
        registries: [this.upstream],
        trackers: [this.tracker],
        origins: this.origins.map(({ address }) => address),
        trustedOriginKeys: [this.#signer.publicKey.toString('base64')],
        ...options,
      }),
    );
  }

  /** Body bytes of the blob that crossed the link to the registry. */
  get crossed(): number {
    return this.upstream.log.bodyBytesByDigest().get(`sha256:${SHA}`) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function sourcesOf({ agent }: AgentFixture): Promise<Record<string, number>> {
  const { head } = await pullBlob(`http://${agent.address}/shoal/v1/sources/sha256:${SHA}`);
  return JSON.parse(head.toString());
}

const WHOLE = { status: 200, sha256: SHA, complete: true };

test('a cold blob comes from the origin and a second agent’s from its neighbour or the origin, none of it from the registry', async () => {
  await using cluster = await Cluster.start(1);
  const first = await cluster.agent();
  expect(await first.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
  expect(await sourcesOf(first)).toMatchObject({ origin: BLOB.length, upstream: 0 });
  const second = await cluster.agent();
  expect(await second.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
  expect(await sourcesOf(second)).toMatchObject({ upstream: 0, cache: 0 });
  expect(cluster.crossed).toBe(0);
  // One question each for the caller's right, put beside the fetch.
  expect(cluster.upstream.log.heads).toBe(2);
});

test('the first byte is there before the origin has read the rest', async () => {
  await using cluster = await Cluster.start(1);
  const [origin] = cluster.origins;
  origin!.pieces = 3;
  const agent = await cluster.agent({ fallback: { stall: '10s' } });
  const arrival = new Arrival();
  const pulling = agent.get(cluster.upstream, PATH, arrival);
  await arrival.reach(3 * 256 * 1024);
  expect(arrival.bytes).toBe(3 * 256 * 1024);
  origin!.readOn(Infinity);
  expect(await pulling).toMatchObject(WHOLE);
  expect(cluster.crossed).toBe(0);
});

test('nothing goes out before upstream said yes, though the origin has it', async () => {
  await using cluster = await Cluster.start(1);
  cluster.upstream.configure({ auth: { kind: 'basic', users: [] } });
  const agent = await cluster.agent();
  const refused = await agent.get(cluster.upstream, PATH);
  expect(refused.status).toBe(401);
  expect(refused.headers['www-authenticate']).toBe('Basic realm="Upstream"');
});

/** A pull that has a third of the blob; each origin has read half of it. */
async function startHalf(origins: number) {
  const cluster = await Cluster.start(origins);
  for (const origin of cluster.origins) origin.pieces = PIECES / 2;
  const agent = await cluster.agent();
  const arrival = new Arrival();
  const pulling = agent.get(cluster.upstream, PATH, arrival);
  await arrival.reach(BLOB.length / 3);
  return { cluster, agent, pulling };
}

describe('an origin that dies in the middle of a pull', () => {
  test('is followed by the ring’s next', async () => {
    const { cluster, agent, pulling } = await startHalf(2);
    await using _cluster = cluster;
    const owner = cluster.origins.find(({ asked }) => asked.length > 0)!;
    const next = cluster.origins.find((origin) => origin !== owner)!;
    next.pieces = Infinity;
    await owner[Symbol.asyncDispose]();
    expect(await pulling).toMatchObject(WHOLE);
    expect(next.asked).not.toEqual([]);
    expect(await sourcesOf(agent)).toMatchObject({ upstream: 0 });
  });

  test('and is the last one leaves the rest to the registry, and only the rest', async () => {
    const { cluster, agent, pulling } = await startHalf(1);
    await using _cluster = cluster;
    await cluster.origins[0]![Symbol.asyncDispose]();
    expect(await pulling).toMatchObject(WHOLE);
    expect(cluster.crossed).toBeLessThan(0.6 * BLOB.length);
    expect(await agent.metric('fallbacks_total')).toBeGreaterThan(0);
  });
});

describe('an origin that reads no further', () => {
  test('because the token lapsed: the pull is cut so that the runtime returns, and goes on with what it has', async () => {
    await using cluster = await Cluster.start(1);
    const [origin] = cluster.origins;
    origin!.pieces = PIECES / 2;
    const agent = await cluster.agent({ fallback: { stall: '10s' } });
    const arrival = new Arrival();
    const { onBytes } = arrival;
    const pulling = agent.get(cluster.upstream, PATH, { authorization: 'Bearer old', onBytes });
    await arrival.reach(BLOB.length / 3);
    const headers = { 'shoal-upstream': 'refused', 'www-authenticate': 'Bearer realm="r"' };
    origin!.refusal = { status: 401, headers };
    const cut = await pulling;
    expect(cut.complete).toBe(false);
    origin!.refusal = undefined;
    const again = agent.get(cluster.upstream, PATH, { authorization: 'Bearer new' });
    await sleep(100);
    origin!.readOn(Infinity);
    expect(await again).toMatchObject(WHOLE);
    expect(origin!.asked.at(-1)?.authorization).toBe('Bearer new');
    expect(cluster.crossed).toBe(0);
  });

  test('but is alive gets more patience than a dead one, then the registry is read', async () => {
    await using cluster = await Cluster.start(1);
    cluster.origins[0]!.pieces = 4;
    const agent = await cluster.agent({ fallback: { stall: '200ms' } });
    expect(await agent.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
    expect(await agent.metric('fallbacks_total', { reason: 'stalled' })).toBeGreaterThan(0);
  });
});

test('an origin that had no room and says so is not waited for: the registry is read as if there were none', async () => {
  await using cluster = await Cluster.start(1);
  const [origin] = cluster.origins;
  origin!.pieces = 4;
  origin!.hasGaps = true;
  const agent = await cluster.agent({ fallback: { stall: '1s' } });
  expect(await agent.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
  expect(await agent.metric('fallbacks_total', { reason: 'no-origin' })).toBeGreaterThan(0);
});

describe('what an origin refuses', () => {
  test('is refused where the caller’s right was not asked for anew', async () => {
    await using cluster = await Cluster.start(1);
    cluster.upstream.content.addBlob('team/app', Buffer.from('first'));
    cluster.origins[0]!.add(Buffer.from('first'));
    const agent = await cluster.agent();
    await agent.get(cluster.upstream, `team/app/blobs/sha256:${sha256Hex('first')}`);
    cluster.origins[0]!.refusal = { status: 404, headers: { 'shoal-upstream': 'refused' } };
    expect(await agent.get(cluster.upstream, PATH)).toMatchObject({ status: 404 });
  });

  test('is fetched from the registry where that has just said yes to the caller itself', async () => {
    await using cluster = await Cluster.start(1);
    cluster.origins[0]!.refusal = { status: 403, headers: { 'shoal-upstream': 'refused' } };
    const agent = await cluster.agent();
    expect(await agent.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
  });
});

describe('with upstream down', () => {
  test('for this node alone, an origin that has just been served in the caller’s name speaks for it', async () => {
    await using cluster = await Cluster.start(1);
    const agent = await cluster.agent();
    await cluster.upstream.stop();
    expect(await agent.get(cluster.upstream, PATH)).toMatchObject({ status: 503 });
    cluster.origins[0]!.positive = true;
    expect(await agent.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
    cluster.origins[0]!.refusal = { status: 403, headers: { 'shoal-upstream': 'refused' } };
    const other = { authorization: 'Basic eA==' };
    const elsewhere = PATH.replace(SHA, 'f'.repeat(64));
    expect(await agent.get(cluster.upstream, elsewhere, other)).toMatchObject({ status: 403 });
  });

  test('and the origin holding the blob, who could read before still gets what this node does not have', async () => {
    await using cluster = await Cluster.start(1);
    cluster.upstream.content.addBlob('team/app', Buffer.from('first'));
    cluster.origins[0]!.add(Buffer.from('first'));
    const agent = await cluster.agent({ rights: { verdictLifetime: '0' } });
    await agent.get(cluster.upstream, `team/app/blobs/sha256:${sha256Hex('first')}`, {
      authorization: 'Basic eA==',
    });
    await cluster.upstream.stop();
    expect(await agent.get(cluster.upstream, PATH, { authorization: 'Basic eA==' })).toMatchObject(WHOLE);
    expect(await agent.get(cluster.upstream, PATH, { authorization: 'Basic eB==' })).toMatchObject({
      status: 503,
    });
  });
});

/** An agent without origins, whose neighbour has the blob; a registry of somebody else's beside the blob's own. */
async function startWithNeighbour(): Promise<{
  cluster: Cluster;
  agent: AgentFixture;
  registries: UpstreamRegistry[];
}> {
  const cluster = await Cluster.start(1);
  cluster.origins[0]!.scope = 'verified';
  const neighbour = await cluster.agent();
  await neighbour.get(cluster.upstream, PATH);
  await neighbour.stored(1);
  const other = await UpstreamRegistry.start();
  const registries = [cluster.upstream, other];
  return { cluster, agent: await cluster.agent({ origins: [], registries }), registries };
}

describe('an agent that no origin answers', () => {
  test('takes a neighbour’s bytes once the registry proved to have them, and reads no more from the registry', async () => {
    const { cluster, agent, registries } = await startWithNeighbour();
    await using _cluster = cluster;
    await using _other = registries[1]!;
    expect(await agent.get(cluster.upstream, PATH)).toMatchObject(WHOLE);
    expect(await agent.metric('provenance_proofs_total', { outcome: 'proved' })).toBe(1);
    expect(cluster.crossed).toBeLessThan(0.2 * BLOB.length);
  });

  test('gives a neighbour’s bytes to no registry that only claims to have them', async () => {
    const { cluster, agent, registries } = await startWithNeighbour();
    await using _cluster = cluster;
    await using hostile = registries[1]!;
    hostile.content.addBlob('team/app', Buffer.from('anything'));
    hostile.configure({ headLies: { size: BLOB.length } });
    for (const range of [undefined, 'bytes=0-99']) {
      const stolen = await agent.get(hostile, PATH, { range });
      expect(stolen.status).toBe(404);
      expect(BLOB.includes(stolen.head)).toBe(false);
    }
  });

  test('gives them to none that leaves the question for its own bytes open either', async () => {
    const { cluster, agent, registries } = await startWithNeighbour();
    await using _cluster = cluster;
    await using hostile = registries[1]!;
    hostile.configure({ headLies: { size: BLOB.length } });
    hostile.faults.inject({ kind: 'hang' }, { method: 'GET' });
    const arrival = new Arrival();
    const { onBytes } = arrival;
    const leaving = new AbortController();
    const pulling = agent.get(hostile, PATH, { onBytes, signal: leaving.signal });
    // The neighbour's bytes come: it is the proof that is missing.
    while ((await agent.metric('pieces_verified_bytes_total', { source: 'peer' })) === 0) await sleep(20);
    await sleep(500);
    expect(arrival.bytes).toBe(0);
    leaving.abort();
    await expect(pulling).rejects.toThrow('aborted');
  });
});

test('a pull that the limit of downloads alone makes slow does not take to the registry', async () => {
  await using cluster = await Cluster.start(1);
  const agent = await cluster.agent({
    bandwidth: { download: '64kB/s' },
    fallback: { stall: '100ms', upstreamWait: '2s' },
  });
  const arrival = new Arrival();
  const pulling = agent.get(cluster.upstream, PATH, arrival);
  await arrival.reach(1);
  await sleep(4_000);
  expect(arrival.bytes).toBeLessThan(MIB);
  expect(cluster.crossed).toBe(0);
  const lift = { method: 'PATCH', path: '/v1/limits', body: { downloadBytesPerSecond: null } };
  await askAdmin(agent.directory.join('store', 'admin.sock'), lift, AbortSignal.timeout(5_000));
  expect(await pulling).toMatchObject(WHOLE);
  expect(cluster.crossed).toBe(0);
});

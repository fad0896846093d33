import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { startOrigin } from '#origin/origin.ts';
import { digestOf } from '#registry/digest.ts';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey } from '#service/signing.ts';
import { startTracker } from '#tracker/tracker.ts';
import { stringify } from 'yaml';
import { UpstreamRegistry, type UpstreamOptions } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { freePorts } from '../../../demo/free-port.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { type AgentFixture, startAgentFixture } from './agent-fixture.ts';

const MIB = 1024 * 1024;
const SIGNAL = new AbortController().signal;

function partsOf(part: string) {
  const logger = createLogger(part, { level: 'silent' });
  return { signal: SIGNAL, logger, metrics: createMetrics(part, { process: false }), env: {} };
}

/** A registry, a tracker, a ring of real origins and some agents. */
async function startCluster(shape: {
  origins: number;
  agents: number;
  upstream?: UpstreamOptions;
  others?: readonly UpstreamRegistry[];
  rights?: Record<string, string>;
}) {
  await using starting = new AsyncDisposableStack();
  const upstream = starting.use(await UpstreamRegistry.start(shape.upstream));
  const registries = [upstream, ...(shape.others ?? [])];
  const trackerFlags = { security: 'off', listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' };
  const tracker = starting.use(
    await startTracker(loadConfig('tracker', { flags: trackerFlags }), partsOf('tracker')),
  );
  const addresses = (await freePorts(shape.origins)).map((port) => `127.0.0.1:${port}`);
  const keys = addresses.map(() => generateSigningKey());
  const trustedOriginKeys = keys.map(({ publicKey }) => publicKey.toString('base64'));
  const stops: (() => Promise<void>)[] = [];
  for (const [n, listen] of addresses.entries()) {
    const directory = starting.use(await temporaryDirectory('origin'));
    const file = directory.join('origin.yaml');
    const seed = keys[n]!.privateKey.export({ format: 'pem', type: 'pkcs8' });
    await writeFile(directory.join('key.pem'), seed);
    await writeFile(
      file,
      stringify({
        security: 'off',
        log: { level: 'silent' },
        listen,
        advertise: listen,
        status: { listen: '127.0.0.1:0' },
        peer: { listen: '127.0.0.1:0' },
        origins: addresses,
        trackers: [tracker.address],
        signingKeyFile: directory.join('key.pem'),
        trustedOriginKeys,
        store: { path: directory.join('store'), quota: '1GiB' },
        upstreams: { hosts: Object.fromEntries(registries.map(({ host }) => [host, { plainHttp: true }])) },
      }),
    );
    const origin = starting.use(await startOrigin(loadConfig('origin', { file }), partsOf('origin')));
    stops.push(async () => origin[Symbol.asyncDispose]());
  }
  const agents: AgentFixture[] = [];
  for (let n = 0; n < shape.agents; n += 1)
    agents.push(
      starting.use(
        await startAgentFixture({
          registries,
          trackers: [tracker.address],
          origins: addresses,
          trustedOriginKeys,
          ...(shape.rights && { rights: shape.rights }),
        }),
      ),
    );
  const all = starting.move();
  return { upstream, agents, stops, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

const BLOB = deterministicBytes('with origins', 12 * MIB + 1);
const SHA = sha256Hex(BLOB);
const WHOLE = { status: 200, sha256: SHA, complete: true };

describe('agents behind a ring of two origins', () => {
  test('pull a cold blob at once: it crosses the link once, whoever asks', async () => {
    await using cluster = await startCluster({
      origins: 2,
      agents: 3,
      upstream: { bytesPerSecond: 12 * MIB },
    });
    const { upstream, agents } = cluster;
    const digest = upstream.content.addBlob('team/app', BLOB);
    const pulls = agents.map((agent) => agent.get(upstream, `team/app/blobs/${digest}`));
    for (const pulled of await Promise.all(pulls)) expect(pulled).toMatchObject(WHOLE);
    expect(upstream.log.bodyBytesByDigest().get(digest)).toBeLessThan(1.01 * BLOB.length);
    for (const agent of agents) {
      expect(await agent.metric('fallbacks_total')).toBe(0);
      expect(await agent.metric('runtime_bytes_total', { source: 'upstream' })).toBe(0);
    }
  });

  test('pull a small blob and a manifest by tag and digest, once from the registry', async () => {
    await using cluster = await startCluster({ origins: 2, agents: 3 });
    const { upstream, agents } = cluster;
    const small = deterministicBytes('small', 5000);
    const digest = upstream.content.addBlob('team/app', small);
    const manifest = upstream.content.addManifest(
      'team/app',
      { schemaVersion: 2, layers: [] },
      { tag: 'v1' },
    );
    for (const agent of agents) {
      const pulled = await agent.get(upstream, `team/app/blobs/${digest}`);
      expect(pulled).toMatchObject({ status: 200, sha256: sha256Hex(small) });
      for (const reference of ['v1', manifest])
        expect((await agent.get(upstream, `team/app/manifests/${reference}`)).headers).toMatchObject({
          'docker-content-digest': manifest,
        });
    }
    expect(upstream.log.bodyBytesByDigest().get(digest)).toBe(small.length);
    expect(
      upstream.log.entries.filter(({ method, digest: of }) => method === 'GET' && of === manifest),
    ).toHaveLength(1);
  });

  test.each([
    ['an empty blob', Buffer.alloc(0), 'sha256'],
    ['an empty blob by sha512', Buffer.alloc(0), 'sha512'],
    ['a small blob by sha512', deterministicBytes('small 512', 5000), 'sha512'],
    ['a large blob by sha512', deterministicBytes('large 512', 3 * MIB + 1), 'sha512'],
  ] as const)('pull %s', async (_what, blob, algorithm) => {
    await using cluster = await startCluster({ origins: 2, agents: 2 });
    const { upstream, agents } = cluster;
    const digest = upstream.content.addBlob('team/app', blob, digestOf(blob, algorithm));
    const pulls = agents.map((agent) => agent.get(upstream, `team/app/blobs/${digest}`));
    const whole = { status: 200, sha256: sha256Hex(blob), complete: true };
    for (const pulled of await Promise.all(pulls)) expect(pulled).toMatchObject(whole);
    expect(upstream.log.bodyBytesByDigest().get(digest) ?? 0).toBeLessThanOrEqual(1.01 * blob.length);
  });

  test('get through when an origin dies in the middle, without a second read of what was there', async () => {
    await using cluster = await startCluster({
      origins: 2,
      agents: 2,
      upstream: { bytesPerSecond: 6 * MIB },
    });
    const { upstream, agents, stops } = cluster;
    const digest = upstream.content.addBlob('team/app', BLOB);
    const arrivedHalf = Promise.withResolvers<void>();
    let arrived = 0;
    const onBytes = (count: number): void => {
      arrived += count;
      if (arrived > BLOB.length / 2) arrivedHalf.resolve();
    };
    const pulls = agents.map((agent) => agent.get(upstream, `team/app/blobs/${digest}`, { onBytes }));
    await arrivedHalf.promise;
    await stops[0]!();
    for (const pulled of await Promise.all(pulls)) expect(pulled).toMatchObject(WHOLE);
    expect(upstream.log.bodyBytesByDigest().get(digest)).toBeLessThan(2 * BLOB.length);
  });

  test('serve who could read before, from what origins and neighbours hold, when the registry is gone', async () => {
    await using cluster = await startCluster({ origins: 2, agents: 2 });
    const { upstream, agents } = cluster;
    const digest = upstream.content.addBlob('team/app', BLOB);
    upstream.content.addManifest('team/app', { schemaVersion: 2 }, { tag: 'v1' });
    const first = agents[0]!;
    const second = agents[1]!;
    await first.get(upstream, `team/app/blobs/${digest}`);
    await second.get(upstream, 'team/app/manifests/v1');
    await upstream.stop();
    expect(await second.get(upstream, `team/app/blobs/${digest}`)).toMatchObject(WHOLE);
  });
});

test('a public repository that was made private is nobody’s without a credential, also when the registry is gone', async () => {
  await using cluster = await startCluster({ origins: 2, agents: 2, rights: { verdictLifetime: '0' } });
  const { upstream, agents } = cluster;
  const blob = `team/app/blobs/${upstream.content.addBlob('team/app', BLOB)}`;
  const wrong = `Basic ${Buffer.from('ann:guess').toString('base64')}`;
  for (const agent of agents) expect(await agent.get(upstream, blob)).toMatchObject(WHOLE);
  const users = [{ name: 'ann', password: 'pw', repositories: ['team/app'] }];
  upstream.configure({ auth: { kind: 'basic', users } });
  for (const agent of agents) expect(await agent.get(upstream, blob)).toMatchObject({ status: 401 });
  await upstream.stop();
  for (const agent of agents) {
    expect(await agent.get(upstream, blob)).toMatchObject({ status: 401 });
    expect(await agent.get(upstream, blob, { authorization: wrong })).toMatchObject({ status: 503 });
  }
});

test('a tag that was only ever asked for by HEAD, as containerd does, is answered on every node when the registry is gone', async () => {
  await using cluster = await startCluster({ origins: 2, agents: 2 });
  const { upstream, agents } = cluster;
  const manifest = upstream.content.addManifest('team/app', { schemaVersion: 2 }, { tag: 'v1' });
  const path = 'team/app/manifests/v1';
  const [first, second] = agents;
  const told = { status: 200, headers: { 'docker-content-digest': manifest } };
  expect(await first!.get(upstream, path, { method: 'HEAD' })).toMatchObject(told);
  await first!.get(upstream, `team/app/manifests/${manifest}`);
  const asked = (): string[] =>
    upstream.log.entries.map(({ method, path: of }) => `${method} ${of.split('/').at(-1)}`);
  // The agent's HEAD, the origin's, and one read, for registries count those.
  await expect
    .poll(() => asked().sort((a, b) => a.localeCompare(b)))
    .toEqual([`GET ${manifest}`, 'HEAD v1', 'HEAD v1']);
  await upstream.stop();
  for (const agent of [first!, second!]) {
    expect(await agent.get(upstream, path, { method: 'HEAD' })).toMatchObject(told);
    expect(await agent.get(upstream, `team/app/manifests/${manifest}`)).toMatchObject({ status: 200 });
  }
});

test('a machine that stands still for seconds is no stall of the swarm: nothing is read twice', async () => {
  await using cluster = await startCluster({
    origins: 2,
    agents: 2,
    upstream: { bytesPerSecond: 4 * MIB },
  });
  const { upstream, agents } = cluster;
  const digest = upstream.content.addBlob('team/app', BLOB);
  const pulls = agents.map((agent) => agent.get(upstream, `team/app/blobs/${digest}`));
  const crossed = (): number => upstream.log.bodyBytesByDigest().get(digest) ?? 0;
  for (const part of [2, 7]) {
    await expect.poll(crossed, { interval: 10 }).toBeGreaterThan(part * MIB);
    // All parts run in this process.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000);
  }
  for (const pulled of await Promise.all(pulls)) expect(pulled).toMatchObject(WHOLE);
  for (const agent of agents) expect(await agent.metric('fallbacks_total')).toBe(0);
  expect(crossed()).toBeLessThan(1.01 * BLOB.length);
});

test('who waits at a registry that trickles is served once another registry has delivered the blob', async () => {
  await using fast = await UpstreamRegistry.start();
  await using cluster = await startCluster({ origins: 1, agents: 2, others: [fast] });
  const { upstream: slow, agents } = cluster;
  const digest = slow.content.addBlob('team/app', BLOB);
  fast.content.addBlob('team/app', BLOB);
  // The first read alone: what proves the bytes later comes as it should.
  slow.faults.inject({ kind: 'trickle', bytesPerSecond: 32 * 1024 }, { method: 'GET', digest, times: 1 });
  const waiting = agents[0]!.get(slow, `team/app/blobs/${digest}`);
  await expect.poll(() => slow.log.bodyBytesByDigest().get(digest) ?? 0).toBeGreaterThan(0);
  expect(await agents[1]!.get(fast, `team/app/blobs/${digest}`)).toMatchObject(WHOLE);
  expect(await waiting).toMatchObject(WHOLE);
  expect(slow.log.bodyBytesByDigest().get(digest)).toBeLessThan(BLOB.length / 2);
});

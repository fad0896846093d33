import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { startTracker } from '#tracker/tracker.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { Arrival, startAgentFixture } from './agent-fixture.ts';

const MIB = 1024 * 1024;
const BLOB = deterministicBytes('failure', 4 * MIB + 5);
/** Answered without a swarm. */
const SMALL = deterministicBytes('small', 1000);
const SHA = sha256Hex(BLOB);
const DIGEST = `sha256:${SHA}`;
const PATH = `team/app/blobs/${DIGEST}`;
const WHOLE = { status: 200, sha256: SHA, complete: true };

async function startUpstream(options = {}): Promise<UpstreamRegistry> {
  const upstream = await UpstreamRegistry.start(options);
  upstream.content.addBlob('team/app', BLOB);
  return upstream;
}

describe('a registry that sends wrong bytes', () => {
  test.each([0, BLOB.length - 1])(
    'at byte %i: no runtime gets a complete body, and the next attempt is not poisoned',
    async (offset) => {
      await using upstream = await startUpstream();
      await using agent = await startAgentFixture({ registries: [upstream] });
      const fault = upstream.faults.inject({ kind: 'corrupt', offset });
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const pulled = await agent.get(upstream, PATH);
        expect(pulled.complete && pulled.status === 200).toBe(false);
        expect(pulled.bytes).toBeLessThan(BLOB.length);
      }
      fault.remove();
      expect(await agent.get(upstream, PATH)).toMatchObject(WHOLE);
    },
  );

  test.each([
    ['large', BLOB],
    ['small', SMALL],
  ])('of a %s blob: who comes back is told that the digest is another', async (_, blob) => {
    await using upstream = await startUpstream();
    const digest = upstream.content.addBlob('team/app', blob);
    await using agent = await startAgentFixture({ registries: [upstream] });
    upstream.faults.inject({ kind: 'corrupt', offset: blob.length - 1 }, { method: 'GET' });
    const url = `http://${agent.agent.address}/v2/team/app/blobs/${digest}?ns=${upstream.host}`;
    await fetch(url)
      .then((answer) => answer.bytes())
      .catch(() => undefined);
    const again = await fetch(url, { headers: { range: `bytes=${blob.length - 1}-` } });
    const message = `${upstream.host} sends bytes whose digest is not ${digest}`;
    expect(again.status).toBe(503);
    expect(await again.json()).toEqual({ errors: [{ code: 'DIGEST_INVALID', message }] });
  });

  test('of a manifest: the client is told that the digest is another', async () => {
    await using upstream = await startUpstream();
    const digest = upstream.content.addManifest('team/app', { schemaVersion: 2, config: {}, layers: [] });
    await using agent = await startAgentFixture({ registries: [upstream] });
    upstream.faults.inject({ kind: 'corrupt', offset: 0 }, { method: 'GET' });
    const url = `http://${agent.agent.address}/v2/team/app/manifests/${digest}?ns=${upstream.host}`;
    expect(await (await fetch(url)).json()).toMatchObject({ errors: [{ code: 'DIGEST_INVALID' }] });
  });

  test('too few or too many: no complete body either', async () => {
    await using upstream = await startUpstream();
    await using agent = await startAgentFixture({ registries: [upstream] });
    const fault = upstream.faults.inject({ kind: 'truncate', atByte: MIB }, { method: 'GET' });
    const pulled = await agent.get(upstream, PATH);
    expect(pulled.complete && pulled.status === 200).toBe(false);
    fault.remove();
    expect(await agent.get(upstream, PATH)).toMatchObject(WHOLE);
  });
});

describe('an upstream that fails in the middle of a pull', () => {
  test('and cuts connections is asked for the rest only', async () => {
    await using upstream = await startUpstream();
    await using agent = await startAgentFixture({ registries: [upstream] });
    upstream.faults.inject({ kind: 'cut', afterBytes: MIB }, { method: 'GET', times: 2 });
    expect(await agent.get(upstream, PATH)).toMatchObject(WHOLE);
    expect(upstream.log.bodyBytesByDigest().get(DIGEST)).toBeLessThan(1.5 * BLOB.length);
  });

  test('and comes back in time: the pull goes on and completes', async () => {
    await using upstream = await startUpstream({ bytesPerSecond: 4 * MIB });
    await using agent = await startAgentFixture({
      registries: [upstream],
      fallback: { upstreamWait: '20s' },
    });
    const arrival = new Arrival();
    const pulling = agent.get(upstream, PATH, arrival);
    await arrival.reach(MIB);
    await upstream.stop();
    await sleep(300);
    await upstream.start();
    expect(await pulling).toMatchObject(WHOLE);
  });

  test('and stays away: the body is cut, never ended', async () => {
    await using upstream = await startUpstream({ bytesPerSecond: 4 * MIB });
    await using agent = await startAgentFixture({
      registries: [upstream],
      fallback: { upstreamWait: '100ms' },
    });
    const arrival = new Arrival();
    const pulling = agent.get(upstream, PATH, arrival);
    await arrival.reach(MIB);
    await upstream.stop();
    const pulled = await pulling;
    expect(pulled.complete).toBe(false);
    expect(await agent.metric('pulls_total', { kind: 'blob', outcome: 'cut' })).toBe(1);
  });
});

async function token(upstream: UpstreamRegistry): Promise<string> {
  const answer = await fetch(`${upstream.realmUrl}?scope=repository:team/app:pull`);
  const [, text] = /"token":"(?<text>[^"]+)"/u.exec(await answer.text()) ?? [];
  return `Bearer ${text}`;
}

/** A pull in whose middle the caller's token becomes worthless. */
async function startLapsed() {
  await using starting = new AsyncDisposableStack();
  const upstream = starting.use(
    await UpstreamRegistry.start({
      auth: { kind: 'token', users: [], anonymous: 'all' },
      bytesPerSecond: 6 * MIB,
    }),
  );
  // More than is read at one go, so that the registry is asked again in the middle.
  const large = deterministicBytes('large', 12 * MIB);
  const path = `team/app/blobs/${upstream.content.addBlob('team/app', large)}`;
  const agent = starting.use(await startAgentFixture({ registries: [upstream] }));
  const arrival = new Arrival();
  const { onBytes } = arrival;
  const pulling = agent.get(upstream, path, { authorization: await token(upstream), onBytes });
  await arrival.reach(MIB);
  upstream.revokeTokens();
  const all = starting.move();
  const whole = { ...WHOLE, sha256: sha256Hex(large) };
  return { upstream, agent, path, pulling, whole, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

describe('a token that lapses in the middle of a read', () => {
  test('cuts the body, so that the runtime returns with a fresh one and finds what was read', async () => {
    await using lapsed = await startLapsed();
    const { upstream, agent, path, pulling, whole } = lapsed;
    expect(await pulling).toMatchObject({ status: 200, complete: false });
    expect(await agent.get(upstream, path, { authorization: await token(upstream) })).toMatchObject(whole);
    expect(upstream.log.bodyBytes).toBeLessThan(13 * MIB);
  });

  test('is nobody’s concern while another caller with a fresh one waits for the same blob', async () => {
    await using lapsed = await startLapsed();
    const { upstream, agent, path, pulling, whole } = lapsed;
    const fresh = agent.get(upstream, path, { authorization: await token(upstream) });
    expect(await fresh).toMatchObject(whole);
    expect(await pulling).toMatchObject(whole);
  });
});

describe('clients that leave', () => {
  test('stop the download when they were the last', async () => {
    await using upstream = await startUpstream({ bytesPerSecond: MIB });
    await using agent = await startAgentFixture({ registries: [upstream] });
    await agent.get(upstream, PATH, { hangUpAfter: 300_000 });
    for (let waited = 0; upstream.log.running.length > 0; waited += 20) {
      expect(waited).toBeLessThan(3_000);
      await sleep(20);
    }
    expect(upstream.log.bodyBytesByDigest().get(DIGEST)).toBeLessThan(BLOB.length);
    expect(agent.log.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  test('leave it to the others', async () => {
    await using upstream = await startUpstream({ bytesPerSecond: 4 * MIB });
    await using agent = await startAgentFixture({ registries: [upstream] });
    const staying = agent.get(upstream, PATH);
    await agent.get(upstream, PATH, { hangUpAfter: 300_000 });
    expect(await staying).toMatchObject(WHOLE);
    expect(upstream.log.bodyBytesByDigest().get(DIGEST)).toBeLessThan(1.3 * BLOB.length);
  });
});

test('a client that reads slowly holds back what is read from upstream for it', async () => {
  await using upstream = await UpstreamRegistry.start();
  const large = deterministicBytes('slow reader', 80 * MIB);
  const digest = upstream.content.addBlob('team/app', large);
  await using agent = await startAgentFixture({ registries: [upstream] });
  const leaving = new AbortController();
  const arrival = new Arrival();
  const { onBytes } = arrival;
  const options = { rate: MIB, onBytes, signal: leaving.signal };
  const pulling = agent.get(upstream, `team/app/blobs/${digest}`, options);
  await arrival.reach(MIB);
  await sleep(500);
  const crossed = upstream.log.bodyBytesByDigest().get(digest) ?? 0;
  expect(crossed).toBeGreaterThan(8 * MIB);
  // The read-ahead, one read, and what the kernel's buffers hold.
  expect(crossed).toBeLessThan(60 * MIB);
  leaving.abort();
  await expect(pulling).rejects.toThrow('aborted');
});

/** A tracker that lets one agent at a time read a blob from upstream. */
function startTrackerOfOneLease(): ReturnType<typeof startTracker> {
  const flags = {
    security: 'off',
    listen: '127.0.0.1:0',
    'status.listen': '127.0.0.1:0',
    'leases.perBlob': '1',
  };
  return startTracker(loadConfig('tracker', { flags }), {
    signal: new AbortController().signal,
    logger: createLogger('tracker', { level: 'silent' }),
    metrics: createMetrics('tracker', { process: false }),
  });
}

test('agents without an origin read from upstream only as many at a time as the tracker leases', async () => {
  await using upstream = await startUpstream({ bytesPerSecond: 8 * MIB });
  await using tracker = await startTrackerOfOneLease();
  const options = { registries: [upstream], trackers: [tracker.address] };
  await using first = await startAgentFixture(options);
  await using second = await startAgentFixture(options);
  let most = 0;
  const watching = new AbortController();
  const watch = async (): Promise<void> => {
    while (!watching.signal.aborted) {
      const reads = upstream.log.running.filter(({ method, status }) => method === 'GET' && status === 206);
      most = Math.max(most, reads.length);
      await sleep(5);
    }
  };
  const watched = watch();
  const pulls = await Promise.all([first.get(upstream, PATH), second.get(upstream, PATH)]);
  watching.abort();
  await watched;
  for (const pulled of pulls) expect(pulled).toMatchObject(WHOLE);
  expect(most).toBe(1);
});

test('who waits its turn while upstream is gone gives up by its own clock, not when its turn has come', async () => {
  await using upstream = await startUpstream({ bytesPerSecond: MIB });
  await using tracker = await startTrackerOfOneLease();
  const options = { registries: [upstream], trackers: [tracker.address] };
  await using patient = await startAgentFixture({
    ...options,
    fallback: { stall: '500ms', upstreamWait: '5m' },
  });
  await using waiting = await startAgentFixture({ ...options, fallback: { upstreamWait: '1s' } });
  const arrival = new Arrival();
  const leaving = new AbortController();
  const { onBytes } = arrival;
  const reading = patient.get(upstream, PATH, { onBytes, signal: leaving.signal });
  reading.catch(() => {});
  await arrival.reach(MIB);
  const pulling = waiting.get(upstream, PATH);
  while (upstream.log.entries.filter(({ method }) => method === 'HEAD').length < 2) await sleep(10);
  await sleep(200);
  await upstream.stop();
  const pulled = await pulling;
  expect(pulled.status === 200 && pulled.complete).toBe(false);
  leaving.abort();
  await expect(reading).rejects.toThrow('aborted');
});

test('what was pulled is there, with its facts, after a restart', async () => {
  await using upstream = await startUpstream();
  await using agent = await startAgentFixture({ registries: [upstream] });
  await agent.get(upstream, PATH);
  await agent.stored(1);
  await using again = await startAgentFixture({ registries: [upstream], after: agent });
  upstream.log.clear();
  expect(await again.get(upstream, PATH)).toMatchObject(WHOLE);
  expect(upstream.log.bodyBytes).toBe(0);
});

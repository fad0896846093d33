import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Fallback, type Leases, UNSHARED } from '#agent/pull/fallback.ts';
import { RunningPull } from '#agent/pull/running-pull.ts';
import type { PullTorrent } from '#agent/pull/swarm.ts';
import type { Upstream } from '#agent/upstream.ts';
import { parseDigest } from '#registry/digest.ts';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { startAgentFixture } from './agent-fixture.ts';

const MIB = 1024 * 1024;
const PIECE = 256 * 1024;

test('a registry that does not heed ranges is read once, not once more for each run of pieces', async () => {
  await using upstream = await UpstreamRegistry.start();
  // More than two runs.
  const blob = deterministicBytes('no ranges', 20 * MIB + 7);
  const digest = upstream.content.addBlob('team/app', blob);
  upstream.faults.inject({ kind: 'ignore-range' }, { method: 'GET' });
  await using agent = await startAgentFixture({ registries: [upstream] });
  const pulled = await agent.get(upstream, `team/app/blobs/${digest}`);
  expect(pulled).toMatchObject({ status: 200, sha256: sha256Hex(blob), complete: true });
  expect(upstream.log.bodyBytesByDigest().get(digest)).toBeLessThan(1.1 * blob.length);
});

test('what a store without room keeps in memory for a client that has paused is not read again and again', async () => {
  await using upstream = await UpstreamRegistry.start();
  const blob = deterministicBytes('no room', 72 * MIB);
  const digest = upstream.content.addBlob('team/app', blob);
  await using agent = await startAgentFixture({ registries: [upstream], quota: '64MiB' });
  const url = `http://${agent.agent.address}/v2/team/app/blobs/${digest}?ns=${upstream.host}`;
  const { body } = await fetch(url);
  const reader = body!.getReader();
  await reader.read();
  await sleep(2_500);
  const crossed = upstream.log.bodyBytesByDigest().get(digest) ?? 0;
  await reader.cancel();
  expect(crossed).toBeGreaterThan(0);
  expect(crossed).toBeLessThan(32 * MIB);
});

/** No limit. */
const limit = { holdsBack: () => false };

test('small blobs keep to the limit of downloads too', async () => {
  await using upstream = await UpstreamRegistry.start();
  const blobs = Array.from({ length: 8 }, (_, n) => deterministicBytes(`small-${n}`, 200 * 1024));
  const digests = blobs.map((blob) => upstream.content.addBlob('team/app', blob));
  await using agent = await startAgentFixture({
    registries: [upstream],
    bandwidth: { download: '512KiB/s' },
  });
  const started = performance.now();
  const pulled = await Promise.all(digests.map((digest) => agent.get(upstream, `team/app/blobs/${digest}`)));
  const seconds = (performance.now() - started) / 1_000;
  expect(pulled.map(({ status, complete }) => [status, complete])).toEqual(blobs.map(() => [200, true]));
  expect(1600 * 1024).toBeLessThanOrEqual(seconds * 512 * 1024 + 512 * 1024);
});

test('what is read from upstream keeps to the limit of downloads, and blobs share it', async () => {
  await using upstream = await UpstreamRegistry.start();
  const blobs = ['one', 'other'].map((name) => deterministicBytes(name, 2 * MIB));
  const digests = blobs.map((blob) => upstream.content.addBlob('team/app', blob));
  await using agent = await startAgentFixture({
    registries: [upstream],
    bandwidth: { download: '2MiB/s' },
  });
  const started = performance.now();
  const pulled = await Promise.all(digests.map((digest) => agent.get(upstream, `team/app/blobs/${digest}`)));
  const seconds = (performance.now() - started) / 1_000;
  for (const [index, blob] of blobs.entries())
    expect(pulled[index]).toMatchObject({ status: 200, sha256: sha256Hex(blob), complete: true });
  expect(4 * MIB).toBeLessThanOrEqual(seconds * 2 * MIB + MIB);
});

/** A torrent of eight pieces on a disk that takes nothing until it is told to. */
function startTorrentOnSlowDisk() {
  const size = 8 * PIECE;
  const supplied: number[] = [];
  const disk = Promise.withResolvers<void>();
  const torrent: PullTorrent = {
    digest: parseDigest(`sha256:${'a'.repeat(64)}`),
    scope: 'registry.example',
    size,
    complete: false,
    hasOrigin: false,
    sources: { cache: 0, peer: 0, origin: 0, upstream: 0 },
    async *read(_start, _end, signal) {
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('left')), { once: true });
      });
      yield Buffer.alloc(0);
    },
    addPeer: () => {},
    batches: { believe: () => {} },
    supply: (index) => void supplied.push(index),
    caughtUp: () => disk.promise,
    missing: (_from, most) =>
      supplied.length < 8
        ? { first: supplied.length, count: Math.min(most, 8 - supplied.length) }
        : undefined,
    fail: () => {},
    whenComplete: () => new Promise(() => {}),
    note: () => {},
    release: () => {},
  };
  return { torrent, supplied, disk };
}

/** Upstream as a body that never runs dry. */
const endless: Pick<Upstream, 'get' | 'head'> = {
  head: async () => ({ kind: 'unreachable', cause: new Error('not asked') }),
  get: async ({ range }) => ({
    kind: 'ok',
    told: { status: 206, range: range!, size: 8 * PIECE },
    body: (async function* () {
      for (;;) yield Buffer.alloc(PIECE);
    })(),
  }),
};

/** A fallback with these leases, and how many pieces each of its requests upstream asks for. */
function startFallback(leases: Leases, now: () => number) {
  const asked: number[] = [];
  const get: Upstream['get'] = (request, signal) => {
    asked.push((request.range!.end + 1 - request.range!.start) / PIECE);
    return endless.get(request, signal);
  };
  const fallback = new Fallback(
    {
      upstream: { ...endless, get },
      leases,
      now,
      random: () => 0.9,
      events: { fellBack: () => {}, fallbackFailed: () => {} },
      onRefused: () => {},
    },
    { upstreamWaitMs: 60_000, stallMs: 100 },
  );
  return { fallback, asked };
}

test('what is read from upstream waits for a disk that is slower, and no longer than anybody wants it', async () => {
  const { torrent, supplied, disk } = startTorrentOnSlowDisk();
  const pull = new RunningPull(torrent, 'lost', { now: () => performance.now(), limit });
  const events = { fellBack: () => {}, fallbackFailed: () => {} };
  const fallback = new Fallback(
    {
      upstream: endless,
      leases: UNSHARED,
      now: Date.now,
      random: Math.random,
      events,
      onRefused: () => {},
    },
    { upstreamWaitMs: 1_000, stallMs: 100 },
  );
  const stop = new AbortController();
  const reading = pull.read(caller, { start: 0, end: torrent.size - 1 }, stop.signal, () => {}).next();
  reading.catch(() => {});
  const left = new AbortController();
  const running = fallback.run(pull, 'no-origin', left.signal);
  await sleep(100);
  expect(supplied).toEqual([0]);
  left.abort(new Error('nobody wants it'));
  await expect(running).rejects.toThrow('nobody wants it');
  disk.resolve();
  await fallback.run(pull, 'no-origin', new AbortController().signal);
  expect(supplied).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  stop.abort();
  await expect(reading).rejects.toThrow('left');
});

test('who does not get its turn to read upstream reads a piece before its runtime has waited three seconds', async () => {
  const { torrent, supplied, disk } = startTorrentOnSlowDisk();
  disk.resolve();
  const pull = new RunningPull(torrent, 'lost', { now: () => performance.now(), limit });
  const leases: Leases = {
    lease: async () => ({ granted: false, retryAfterMs: 3_000 }),
    release: async () => {},
  };
  const { fallback, asked } = startFallback(leases, () => performance.now());
  const stop = new AbortController();
  const reading = pull.read(caller, { start: 0, end: torrent.size - 1 }, stop.signal, () => {}).next();
  const running = fallback.run(pull, 'no-origin', stop.signal);
  await expect.poll(() => supplied.length, { timeout: 3_000 }).toBeGreaterThan(0);
  expect(new Set(asked)).toEqual(new Set([1]));
  stop.abort(new Error('left'));
  await Promise.allSettled([running, reading]);
});

test('trackers that are silent, one after the other, keep no runtime waiting for its next piece', async () => {
  const { torrent, supplied, disk } = startTorrentOnSlowDisk();
  disk.resolve();
  const pull = new RunningPull(torrent, 'lost', { now: () => performance.now(), limit });
  let left: AbortSignal | undefined;
  const lease: Leases['lease'] = (_digest, _scope, signal) => {
    left = signal;
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
    });
  };
  const { fallback } = startFallback({ lease, release: async () => {} }, () => performance.now());
  const stop = new AbortController();
  const reading = pull.read(caller, { start: 0, end: torrent.size - 1 }, stop.signal, () => {}).next();
  const running = fallback.run(pull, 'no-origin', new AbortController().signal);
  await expect.poll(() => supplied.length, { timeout: 6_000 }).toBeGreaterThan(1);
  expect(left?.aborted).toBe(false);
  stop.abort(new Error('left'));
  await Promise.allSettled([running, reading]);
  expect(left?.aborted).toBe(true);
});

const caller = { registry: 'registry.example', repository: 'team/app' };

test('a turn that is given late is taken at once, and not asked for again', async () => {
  const { torrent, disk } = startTorrentOnSlowDisk();
  disk.resolve();
  let ahead = 0;
  const now = (): number => performance.now() + ahead;
  const pull = new RunningPull(torrent, 'lost', { now, limit });
  const granted = Promise.withResolvers<{ granted: boolean; retryAfterMs: number }>();
  const askedBefore: number[] = [];
  const lease: Leases['lease'] = () => {
    askedBefore.push(asked.length);
    return granted.promise;
  };
  const { fallback, asked } = startFallback({ lease, release: async () => {} }, now);
  const [impatient, stop] = [new AbortController(), new AbortController()];
  const range = { start: 0, end: torrent.size - 1 };
  const left = pull.read(caller, range, impatient.signal, () => {}).next();
  left.catch(() => {});
  // So that the question is given no more than its least time; who comes then has all its patience left.
  ahead = 2_200;
  const running = fallback.run(pull, 'no-origin', stop.signal);
  const reading = pull.read(caller, range, stop.signal, () => {}).next();
  impatient.abort(new Error('left'));
  await sleep(600);
  granted.resolve({ granted: true, retryAfterMs: 0 });
  await expect.poll(() => asked.length).toBeGreaterThan(0);
  expect(asked[0]).toBe(8);
  // Only what was asked before the first read is of that turn.
  expect(askedBefore.filter((reads) => reads === 0)).toHaveLength(1);
  stop.abort(new Error('left'));
  await Promise.allSettled([running, reading, left]);
});

test('the time in which trackers were silent counts for the delay that spreads agents without a tracker', async () => {
  const { torrent, disk } = startTorrentOnSlowDisk();
  disk.resolve();
  const pull = new RunningPull(torrent, 'lost', { now: () => performance.now(), limit });
  let ahead = 0;
  const lease: Leases['lease'] = async () => {
    ahead = 5_000;
    throw new Error('no tracker answers');
  };
  const now = (): number => performance.now() + ahead;
  const { fallback, asked } = startFallback({ lease, release: async () => {} }, now);
  const stop = new AbortController();
  const range = { start: 0, end: torrent.size - 1 };
  const reading = pull.read(caller, range, stop.signal, () => {}).next();
  const running = fallback.run(pull, 'no-origin', stop.signal);
  await expect.poll(() => asked.length, { timeout: 4_000 }).toBeGreaterThan(0);
  // A run is its turn; a piece would be what it reads out of turn, when its patience is over.
  expect(asked[0]).toBe(8);
  stop.abort(new Error('left'));
  await Promise.allSettled([running, reading]);
});

const fast = (): number => performance.now() * 20;

/** A pull whose agent never gets its turn, twenty times as fast as life, with the requests that it makes upstream. */
async function waitInVain(waiting: number, answer: Pick<Upstream, 'get' | 'head'>, pieces: number) {
  const { torrent, supplied, disk } = startTorrentOnSlowDisk();
  disk.resolve();
  const pull = new RunningPull(torrent, 'lost', { now: fast, limit });
  const askedAt: number[] = [];
  const fallback = new Fallback(
    {
      upstream: {
        ...answer,
        get: (request, signal) => {
          askedAt.push(fast());
          return answer.get(request, signal);
        },
      },
      leases: {
        lease: async () => ({ granted: false, retryAfterMs: 50, waiting }),
        release: async () => {},
      },
      now: fast,
      random: () => 0.5,
      events: { fellBack: () => {}, fallbackFailed: () => {} },
      onRefused: () => {},
    },
    { upstreamWaitMs: 1_000_000, stallMs: 100 },
  );
  const stop = new AbortController();
  const startedAt = fast();
  const reading = pull.read(caller, { start: 0, end: torrent.size - 1 }, stop.signal, () => {}).next();
  const running = fallback.run(pull, 'no-origin', stop.signal);
  await expect.poll(() => supplied.length, { timeout: 4_000 }).toBeGreaterThanOrEqual(pieces);
  stop.abort(new Error('left'));
  await Promise.allSettled([running, reading]);
  return { supplied, askedAfterMs: askedAt.map((at) => at - startedAt) };
}

test('the more agents wait for their turn, the longer each waits before it reads a piece', async () => {
  const { askedAfterMs } = await waitInVain(1_000, endless, 1);
  expect(askedAfterMs[0]).toBeGreaterThanOrEqual(10_000);
});

test('without its turn an agent reads no further than its piece from a registry that does not heed ranges', async () => {
  const whole: Pick<Upstream, 'get' | 'head'> = {
    ...endless,
    get: async (request, signal) => {
      const answer = await endless.get(request, signal);
      return answer.kind === 'ok' ? { ...answer, told: { status: 200, size: 8 * PIECE } } : answer;
    },
  };
  const { supplied, askedAfterMs } = await waitInVain(1, whole, 2);
  expect(supplied.length).toBeLessThanOrEqual(askedAfterMs.length);
});

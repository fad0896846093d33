import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { OriginAnswer } from '#agent/origin-answer.ts';
import { RunningPulls } from '#agent/pull/running-pulls.ts';
import type { PullTorrent } from '#agent/pull/swarm.ts';
import { parseDigest } from '#registry/digest.ts';

const PIECE = 256 * 1024;
const CALLER = { registry: 'registry.example', repository: 'team/app' };
/** As fast as the clock of a process that is awake goes: a quarter of a second is counted for each tenth. */
const fast = (): number => performance.now() * 2.5;

/** A torrent that gives its reader a piece each time it is told to. */
function startTorrent({ hasOrigin = (): boolean => false } = {}) {
  const size = 8 * PIECE;
  let deliver = Promise.withResolvers<void>();
  const torrent: PullTorrent = {
    digest: parseDigest(`sha256:${'a'.repeat(64)}`),
    scope: CALLER.registry,
    size,
    complete: false,
    get hasOrigin() {
      return hasOrigin();
    },
    sources: { cache: 0, peer: 0, origin: 0, upstream: 0 },
    async *read() {
      for (;;) {
        await deliver.promise;
        deliver = Promise.withResolvers<void>();
        yield Buffer.alloc(PIECE);
      }
    },
    addPeer: () => {},
    batches: { believe: () => {} },
    supply: () => {},
    caughtUp: async () => {},
    missing: () => undefined,
    fail: () => {},
    whenComplete: () => new Promise(() => {}),
    note: () => {},
    release: () => {},
  };
  return { torrent, deliver: () => deliver.resolve() };
}

/** Pulls whose origins are always serving, and how often they were asked. */
function startPulls(torrent: PullTorrent, now: () => number) {
  const asked = { count: 0 };
  const serving: OriginAnswer = {
    kind: 'swarm',
    size: torrent.size,
    scope: torrent.scope,
    peer: { host: 'origin.test', port: 1 },
    hasGaps: false,
    positive: true,
  };
  const pulls = new RunningPulls(
    {
      origins: {
        fetch: async () => {
          asked.count += 1;
          return serving;
        },
      },
      fallback: { run: () => new Promise(() => {}) },
      limit: { holdsBack: () => false },
      now,
      random: () => 0.5,
      onRefused: () => {},
    },
    { stallMs: 1_000_000 },
  );
  onTestFinished(() => pulls[Symbol.dispose]());
  return { pulls, asked };
}

test('a pull that has stalled for long asks an origin about its next stall as soon as about its first', async () => {
  const { torrent, deliver } = startTorrent();
  const { pulls, asked } = startPulls(torrent, fast);
  using use = pulls.use(torrent, 'serving');
  const stop = new AbortController();
  const reader = use.pull.read(CALLER, { start: 0, end: torrent.size - 1 }, stop.signal, () => {});
  const first = reader.next();
  // After 0.7 s of waiting, and 0.7, 1.4 and 2.8 s later; the next would be in 5.6 s.
  await expect.poll(() => asked.count, { timeout: 10_000 }).toBe(4);
  deliver();
  await first;
  const second = reader.next();
  second.catch(() => {});
  await expect.poll(() => asked.count, { timeout: 1_500 }).toBe(5);
});

test('an origin whose connection has gone is not waited for: the next is asked after a moment', async () => {
  let isConnected = true;
  let time = 0;
  const { torrent } = startTorrent({ hasOrigin: () => isConnected });
  const { pulls, asked } = startPulls(torrent, () => time);
  using use = pulls.use(torrent, 'serving');
  const reader = use.pull.read(
    CALLER,
    { start: 0, end: torrent.size - 1 },
    new AbortController().signal,
    () => {},
  );
  reader.next().catch(() => {});
  const pass = async (ms: number): Promise<void> => {
    for (const end = time + ms; time < end;) {
      time += 100;
      await sleep(250);
    }
  };
  await pass(400);
  expect(asked.count).toBe(0);
  isConnected = false;
  await pass(100);
  expect(asked.count).toBe(1);
});

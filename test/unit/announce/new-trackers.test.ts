import { Agent } from 'undici';
import { expect, onTestFinished, test } from 'vitest';

import { createLogger } from '#service/logger.ts';
import { Announcer } from '#swarm/announce/announcer.ts';
import type { TrackerList } from '#swarm/announce/tracker-client.ts';

import { hexId, runTracker } from '../tracker/running-tracker.ts';

/** Nothing happens by heartbeats within the test's time. */
const SLOW = { announceIntervalMs: 60_000, memberTimeoutMs: 180_000 };
const SWARMS = [hexId(), hexId()];

/** A list of trackers that changes when it is told to. */
class Trackers implements TrackerList {
  current: readonly string[];
  readonly #listeners = new Set<() => void>();

  constructor(...current: readonly string[]) {
    this.current = current;
  }

  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  become(...current: readonly string[]): void {
    this.current = current;
    for (const listener of this.#listeners) listener();
  }
}

function announce(trackers: Trackers): void {
  const dispatcher = new Agent();
  const announcer = new Announcer(
    {
      dispatcher,
      trackers,
      secure: false,
      onPlace: () => undefined,
      random: Math.random,
      now: () => performance.now(),
      logger: createLogger('test', { level: 'silent' }),
    },
    { peerId: hexId(), role: 'agent', port: 29_502, topology: {} },
  );
  onTestFinished(async () => {
    await announcer[Symbol.asyncDispose]();
    await dispatcher.destroy();
  });
  for (const swarm of SWARMS) announcer.join(swarm, { complete: true, want: 0 }, () => undefined);
}

test('a member that knows no tracker yet announces all it has to the first one found', async () => {
  await using tracker = await runTracker(SLOW);
  const trackers = new Trackers();
  announce(trackers);
  trackers.become(tracker.running.address);
  await expect.poll(() => tracker.metric('memberships')).toBe(SWARMS.length);
});

test('a member whose tracker is named no more goes to another one within a second or two', async () => {
  await using old = await runTracker(SLOW);
  await using young = await runTracker(SLOW);
  const trackers = new Trackers(old.running.address);
  announce(trackers);
  await expect.poll(() => old.metric('memberships')).toBe(SWARMS.length);
  trackers.become(young.running.address);
  await expect.poll(() => young.metric('memberships'), { timeout: 3000 }).toBe(SWARMS.length);
});

test('a member goes to a tracker that is named before its own, and stays where one is named after it', async () => {
  await using own = await runTracker(SLOW);
  await using other = await runTracker(SLOW);
  const trackers = new Trackers(own.running.address);
  announce(trackers);
  await expect.poll(() => own.metric('memberships')).toBe(SWARMS.length);
  trackers.become(own.running.address, other.running.address);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await other.metric('members')).toBe(0);
  trackers.become(other.running.address, own.running.address);
  await expect.poll(() => other.metric('memberships'), { timeout: 3000 }).toBe(SWARMS.length);
});

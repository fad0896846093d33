import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { PulledBlob } from '../../demo/pull-blob.ts';
import { bytesToRuntimes } from './counted.ts';
import { ask, pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import type { PushedImage } from './images.ts';
import type { Agent } from './part.ts';
import { eventually } from './program.ts';
import { startScene, type Scene } from './scene.ts';
import type { ImageLayer } from '../../demo/oci-layout.ts';

const SIZE = 24_000_000;
const RATE = 4_000_000;
/** What may cross twice when a connection breaks: bytes under way, which no agent had verified, and TLS' own. */
const UNDER_WAY = 3_000_000;
const WAIT_MS = 4000;

let pullsSoFar = 0;
let scene: Scene;
beforeAll(async () => {
  scene = await startScene({
    bytesPerSecond: RATE,
    cluster: { agent: { fallback: { upstreamWait: '15s' } }, origin: { upstreamWait: '15s' } },
  });
});
afterAll(() => scene?.[Symbol.asyncDispose]());
afterEach(async () => {
  // Whatever a test killed is there again for the next.
  await scene.link.mend();
  scene.link.rate = RATE;
  const { tracker, origins, agents } = scene.cluster;
  await Promise.all([tracker, ...origins, ...agents].map((part) => part.start()));
});

interface Running {
  pushed: PushedImage;
  layer: ImageLayer;
  /** Body bytes that the slowest of the clients has. */
  slowest(): number;
  pulls: Promise<PulledBlob[]>;
}

/** Agents, unless told all of them, are asked for one layer; the promise settles when the last client has it or was cut. */
async function pullEverywhere(
  name: string,
  { clientRate, agents = scene.cluster.agents }: { clientRate?: number; agents?: readonly Agent[] } = {},
): Promise<Running> {
  // A test that is tried again must not find in the caches what its first attempt left there.
  const repository = `${name}-${++pullsSoFar}`;
  const pushed = await scene.push(repository, [SIZE]);
  const layer = pushed.image.layers.find((candidate) => candidate.size >= SIZE);
  if (layer === undefined) throw new Error('the image has no such layer');
  const got = agents.map(() => 0);
  const pulls = agents.map((agent, index) =>
    ask(agent.door, `blobs/${layer.digest}`, scene.asked(repository), {
      onBytes: (count) => (got[index] = (got[index] ?? 0) + count),
      ...(clientRate === undefined ? {} : { rate: clientRate }),
    }),
  );
  return { pushed, layer, slowest: () => Math.min(...got), pulls: Promise.all(pulls) };
}

async function until(what: string, reached: () => boolean): Promise<void> {
  await eventually(what, () => (reached() ? true : undefined), 60_000);
}

/** What clients got that is not the whole layer: nothing, when all is well. */
async function broken({ layer, pulls }: Running): Promise<object[]> {
  const wrong = (await pulls).map(({ status, complete, bytes, sha256 }, agent) => ({
    agent,
    status,
    complete,
    bytes,
    sha256,
  }));
  return wrong.filter(({ complete, sha256 }) => !complete || `sha256:${sha256}` !== layer.digest);
}

describe('killed during a pull on six nodes', () => {
  test('the tracker: all six complete', async () => {
    keepLogsOnFailure(scene.cluster);
    const running = await pullEverywhere('faults/tracker');
    await until('a quarter is there', () => running.slowest() > SIZE / 4);
    await scene.cluster.tracker.kill();
    expect(await broken(running)).toEqual([]);
  });

  test('the tracker before the pull: it completes, and a tracker started empty is whole again', async () => {
    keepLogsOnFailure(scene.cluster);
    await scene.cluster.tracker.kill();
    expect(await broken(await pullEverywhere('faults/no-tracker'))).toEqual([]);
    await scene.cluster.tracker.start();
    await sleep(3000);
    expect(await broken(await pullEverywhere('faults/new-tracker'))).toEqual([]);
  });

  // One of the two owns the blob; either may go.
  test.each([0, 1])('origin %i: all six complete', async (index) => {
    keepLogsOnFailure(scene.cluster);
    const running = await pullEverywhere(`faults/origin-${index}`);
    await until('a quarter is there', () => running.slowest() > SIZE / 4);
    await scene.cluster.origins[index]?.kill();
    expect(await broken(running)).toEqual([]);
  });

  test('all origins: all six complete', async () => {
    keepLogsOnFailure(scene.cluster);
    const running = await pullEverywhere('faults/origins');
    await until('a quarter is there', () => running.slowest() > SIZE / 4);
    await Promise.all(scene.cluster.origins.map((origin) => origin.kill()));
    // Nobody is left to sign what is missing, so each agent reads that for itself: six times, over this link.
    scene.link.rate = undefined;
    expect(await broken(running)).toEqual([]);
  });
});

describe('the upstream goes away', () => {
  test('once the cluster holds all pieces: the pulls complete, and a node that comes later gets the image too', async () => {
    keepLogsOnFailure(scene.cluster);
    scene.link.rate = undefined;
    const agents = scene.cluster.agents.slice(0, 5);
    const running = await pullEverywhere('faults/held', { clientRate: 3_000_000, agents });
    const { tag, repository } = running.pushed;
    // Somebody has asked for the tag and the manifests too, and is done before the slow clients are.
    await pullImage(scene.agent(0).door, tag, scene.asked(repository));
    await scene.link.break();
    expect(running.slowest()).toBeLessThan(SIZE);
    expect(await broken(running)).toEqual([]);
    await pullImage(scene.agent(5).door, tag, scene.asked(repository));
  });

  test('for a while in the middle: the pull waits, goes on by Range and completes', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const before = scene.link.bytes;
    const running = await pullEverywhere('faults/back-soon');
    await until('a third is there', () => running.slowest() > SIZE / 3);
    await scene.link.break();
    await sleep(WAIT_MS);
    await scene.link.mend();
    expect(await broken(running)).toEqual([]);
    expect(scene.link.bytes - before).toBeLessThan(SIZE * 1.02 + UNDER_WAY);
    const ranges = scene.registry
      .accesses()
      .filter(({ uri, status }) => uri.includes(running.layer.digest) && status === 206);
    expect(ranges.length).toBeGreaterThan(0);
  });

  test('for longer than the knob: the runtime gets an error, and its next attempt pays only for what was missing', async () => {
    keepLogsOnFailure(scene.cluster, scene.registry);
    const before = scene.link.bytes;
    const running = await pullEverywhere('faults/back-late');
    await until('half is there', () => running.slowest() > SIZE / 2);
    await scene.link.break();
    for (const blob of await running.pulls) expect(blob.complete).toBe(false);
    await scene.link.mend();
    const retries = scene.cluster.agents.map((agent) =>
      pullImage(agent.door, running.pushed.tag, scene.asked(running.pushed.repository)),
    );
    await Promise.all(retries);
    expect(scene.link.bytes - before).toBeLessThan(SIZE * 1.02 + UNDER_WAY);
  });
});

test('an agent killed in the middle of a pull and started again goes on with the pieces it had', async () => {
  keepLogsOnFailure(scene.cluster);
  const running = await pullEverywhere('faults/agent');
  await until('half is there', () => running.slowest() > SIZE / 2);
  const victim = scene.agent(3);
  await victim.kill();
  const cut = (await running.pulls)[3];
  expect(cut?.complete).toBe(false);
  const had = cut?.bytes ?? 0;
  await victim.start();
  const blob = await ask(
    victim.door,
    `blobs/${running.layer.digest}`,
    scene.asked(running.pushed.repository),
  );
  expect(blob).toMatchObject({ status: 200, complete: true, bytes: running.layer.size });
  expect(`sha256:${blob.sha256}`).toBe(running.layer.digest);
  const sources = await bytesToRuntimes([victim]);
  expect(sources.cache).toBeGreaterThanOrEqual(had * 0.95);
});

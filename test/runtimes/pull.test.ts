import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blobBytes, type Access } from './registry.ts';
import type { Agent } from './part.ts';
import { describeTree, startContainerd } from './containerd.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import type { PushedImage } from './images.ts';
import { mirrorPodman } from './mirrors.ts';
import { bytesToRuntimes } from './counted.ts';
import { startScene, type Scene } from './scene.ts';
import { copyBySkopeo, podmanIn } from './stock-runtimes.ts';
import { mustSucceed } from './program.ts';

const LAYERS = [24_000_000, 9_000_000, 1_500_000, { size: 300_000, compression: 'none' }] as const;

let scene: Scene;
beforeAll(async () => {
  scene = await startScene();
});
afterAll(() => scene?.[Symbol.asyncDispose]());

/** The five other agents are asked for the same image by skopeo at the same time. */
async function pullByNeighbours(pushed: PushedImage, chosen: Agent, all: boolean): Promise<void> {
  const neighbours = scene.cluster.agents.filter((agent) => agent !== chosen);
  expect(neighbours).toHaveLength(5);
  const name = pushed.repository.replaceAll('/', '-');
  const copies = neighbours.map((agent) =>
    copyBySkopeo(throughDoor(pushed, agent), join(scene.directory, `${name}-${agent.name}`), { all }),
  );
  for (const copied of await Promise.all(copies)) mustSucceed(copied);
}

/** `127.0.0.1:29500/127.77.0.2/team/app:v1`: for clients that cannot say `ns`. */
function throughDoor({ reference }: PushedImage, agent: Agent): string {
  return `${agent.doorAddress}/${reference}`;
}

/** Those of one repository, so that tests don't count each other's. */
function accessesOf({ repository }: PushedImage): Access[] {
  return scene.registry.accesses().filter(({ uri }) => uri.startsWith(`/v2/${repository}/`));
}

function expectEachBlobOnce(pushed: PushedImage, digests: readonly string[]): void {
  const bytes = blobBytes(accessesOf(pushed));
  for (const digest of digests) {
    const { size } = pushed.image.blobs.get(digest) ?? { size: 0 };
    expect(bytes.get(digest), `body bytes of ${digest}`).toBeGreaterThanOrEqual(size);
    expect(bytes.get(digest), `body bytes of ${digest}`).toBeLessThanOrEqual(size * 1.01);
  }
}

/** Nobody but Shoal asked the registry for content: no runtime went past its agent. */
function expectNobodyWentPast(pushed: PushedImage): void {
  const gets = accessesOf(pushed).filter(({ method }) => method === 'GET');
  expect(gets.length).toBeGreaterThan(0);
  expect(gets.filter(({ userAgent }) => /containerd|skopeo|podman|containers/i.test(userAgent))).toEqual([]);
}

test('containerd gets the same image as straight from the registry, which sends each blob once for six nodes', async () => {
  keepLogsOnFailure(scene.cluster, scene.registry);
  const pushed = await scene.push('pull/containerd', LAYERS);
  await using containerd = await startContainerd(join(scene.directory, 'containerd'));
  const chosen = scene.agent(0);
  const [pulled] = await Promise.all([
    containerd.pull(pushed.reference, { hostsDir: await scene.hostsDir(chosen) }),
    pullByNeighbours(pushed, chosen, false),
  ]);
  mustSucceed(pulled);
  const { config, layers } = pushed.image.amd64;
  expectEachBlobOnce(
    pushed,
    [config, ...layers].map(({ digest }) => digest),
  );
  expectNobodyWentPast(pushed);

  await using straight = await startContainerd(join(scene.directory, 'containerd-straight'));
  const direct = await straight.pull(pushed.reference, { hostsDir: scene.directHostsDir });
  mustSucceed(direct);
  expect(await containerd.content()).toEqual(await straight.content());
  for (const [digest, found] of await containerd.content()) expect(found).toBe(digest);
  expect(await containerd.files(pushed.reference)).toEqual(await straight.files(pushed.reference));
  expect(await containerd.runImage(pushed.reference)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('Hello'),
  });
});

test('skopeo copies all platforms through an agent byte for byte, while five neighbours copy them too', async () => {
  keepLogsOnFailure(scene.cluster, scene.registry);
  const pushed = await scene.push('pull/skopeo', LAYERS);
  const chosen = scene.agent(1);
  const directory = join(scene.directory, 'skopeo');
  const [copied] = await Promise.all([
    copyBySkopeo(throughDoor(pushed, chosen), directory),
    pullByNeighbours(pushed, chosen, true),
  ]);
  mustSucceed(copied);
  const { amd64, arm64 } = pushed.image;
  const blobs = [amd64.config, ...amd64.layers, arm64.config, ...arm64.layers];
  expectEachBlobOnce(
    pushed,
    blobs.map(({ digest }) => digest),
  );
  expectNobodyWentPast(pushed);

  const straight = join(scene.directory, 'skopeo-straight');
  mustSucceed(await copyBySkopeo(pushed.reference, straight));
  expect(await describeTree(directory)).toEqual(await describeTree(straight));
});

test('podman, told of the agent by registries.conf, gets what it gets straight from the registry', async () => {
  keepLogsOnFailure(scene.cluster, scene.registry);
  const pushed = await scene.push('pull/podman', LAYERS);
  const chosen = scene.agent(2);
  const registriesConf = await mirrorPodman(join(scene.directory, 'node-of-podman'), scene.registry, chosen);
  const mirrored = podmanIn(join(scene.directory, 'podman'));
  const [pulled] = await Promise.all([
    mirrored.pull(pushed.reference, { registriesConf }),
    pullByNeighbours(pushed, chosen, false),
  ]);
  mustSucceed(pulled);
  const { config, layers } = pushed.image.amd64;
  expectEachBlobOnce(
    pushed,
    [config, ...layers].map(({ digest }) => digest),
  );
  expectNobodyWentPast(pushed);

  const straight = podmanIn(join(scene.directory, 'podman-straight'));
  mustSucceed(await straight.pull(pushed.reference));
  expect(await mirrored.files(pushed.reference)).toEqual(await straight.files(pushed.reference));
});

test("the agents' counters tell that most of the bytes came from peers", async () => {
  keepLogsOnFailure(scene.cluster);
  const pushed = await scene.push('pull/counted', [32_000_000]);
  const before = await bytesToRuntimes(scene.cluster.agents);
  await Promise.all([
    copyBySkopeo(throughDoor(pushed, scene.agent(0)), join(scene.directory, 'counted'), { all: false }),
    pullByNeighbours(pushed, scene.agent(0), false),
  ]);
  const after = await bytesToRuntimes(scene.cluster.agents);
  const delivered = after.all - before.all;
  const size = pushed.image.amd64.layers.reduce((sum, layer) => sum + layer.size, 0);
  expect(delivered).toBeGreaterThanOrEqual(size * 6);
  expect(after.peer - before.peer).toBeGreaterThan(delivered / 2);
  expect(after.upstream - before.upstream).toBe(0);
});

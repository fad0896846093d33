import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { makeImage, type Image } from '../../demo/image.ts';
import type { ImageLayer } from '../../demo/oci-layout.ts';
import { UpstreamRegistry } from '../../demo/upstream-registry.ts';
import { sha256OfStream } from '../support/bytes.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary-directory.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { startContainerd } from './containerd.ts';
import { ask, pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import { mirrorContainerd } from './mirrors.ts';
import { agentAt } from './scene.ts';
import { mustSucceed } from './program.ts';

const REGISTRY = 'careless.test';
const LARGE_BYTES = 8_000_000;
const SMALL_BYTES = 120_000;

let directory: TemporaryDirectory;
let upstream: UpstreamRegistry;
let cluster: Cluster;

beforeAll(async () => {
  directory = await temporaryDirectory('wrong-bytes');
  upstream = await UpstreamRegistry.start();
  const upstreams = { [REGISTRY]: { endpoint: upstream.url, plainHttp: true } };
  cluster = await startCluster({ directory: directory.path, upstreams });
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});
beforeEach(() => upstream.faults.clear());

/** An image under a tag, and its layer of at least so many bytes. */
async function publish(repository: string, size: number): Promise<{ image: Image; layer: ImageLayer }> {
  const dir = directory.join(`image-${repository.replaceAll('/', '-')}`);
  const image = await makeImage({ dir, layers: [size], seed: repository });
  await upstream.addImage(repository, 'v1', image);
  const layer = image.layers.find((candidate) => candidate.size >= size);
  if (layer === undefined) throw new Error('the image has no such layer');
  return { image, layer };
}

/** All six at once; tells who saw a body end as if it were whole. */
async function gotItWhole(repository: string, { digest, size }: ImageLayer): Promise<string[]> {
  const pulls = cluster.agents.map(async (agent) => {
    const blob = await ask(agent.door, `blobs/${digest}`, { registry: REGISTRY, repository });
    return blob.status === 200 && (blob.complete || blob.bytes >= size) ? [agent.name] : [];
  });
  return (await Promise.all(pulls)).flat();
}

/** Files of that length whose content is not what the digest says: wrong bytes that were kept as if right. */
async function wrongFiles({ digest, size }: ImageLayer): Promise<string[]> {
  const stores = await readdir(directory.join('cluster'), { recursive: true, withFileTypes: true });
  const wrong: string[] = [];
  for (const entry of stores.filter((item) => item.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const { sha256, bytes } = await sha256OfStream(createReadStream(path)).catch(() => ({
      sha256: '',
      bytes: -1,
    }));
    if (bytes === size && `sha256:${sha256}` !== digest) wrong.push(path);
  }
  return wrong;
}

/** How many of the six got all of the image, checked. */
async function pullByAll(repository: string): Promise<number> {
  const asked = { registry: REGISTRY, repository };
  return (await Promise.all(cluster.agents.map((agent) => pullImage(agent.door, 'v1', asked)))).length;
}

test.each([
  ['large', LARGE_BYTES, 3_000_000],
  ['small', SMALL_BYTES, 60_000],
])(
  'one wrong byte in a %s blob: nobody gets it whole, nothing is kept, and the next attempt is right',
  async (name, size, offset) => {
    keepLogsOnFailure(cluster);
    const repository = `careless/${name}`;
    const { layer } = await publish(repository, size);
    const fault = upstream.faults.inject(
      { kind: 'corrupt', offset },
      { digest: layer.digest, method: 'GET' },
    );
    expect(await gotItWhole(repository, layer)).toEqual([]);
    expect(fault.hits).toBeGreaterThan(0);
    expect(await wrongFiles(layer)).toEqual([]);
    fault.remove();
    expect(await pullByAll(repository)).toBe(6);
  },
);

test('a body that ends early as if it were whole is not taken for whole', async () => {
  keepLogsOnFailure(cluster);
  const repository = 'careless/short';
  const { layer } = await publish(repository, LARGE_BYTES);
  const fault = upstream.faults.inject(
    { kind: 'truncate', atByte: 5_000_000 },
    { digest: layer.digest, method: 'GET' },
  );
  expect(await gotItWhole(repository, layer)).toEqual([]);
  fault.remove();
  expect(await pullByAll(repository)).toBe(6);
});

test('containerd keeps nothing of a wrong blob, and pulls once the registry has mended it', async () => {
  keepLogsOnFailure(cluster);
  const repository = 'careless/containerd';
  const { image, layer } = await publish(repository, LARGE_BYTES);
  const right = upstream.content.blob(repository, layer.digest);
  if (right === undefined) throw new Error('the registry lost a blob');
  const bytes = Buffer.from(await readFile(layer.path));
  bytes.fill(0x55, bytes.length - 1000);
  upstream.content.addBlob(repository, bytes, layer.digest);

  await using containerd = await startContainerd(directory.join('containerd'));
  const registry = { name: REGISTRY, url: upstream.url, caFile: undefined };
  const hostsDir = await mirrorContainerd(directory.join('node'), registry, agentAt(cluster, 0));
  const reference = `${REGISTRY}/${repository}:v1`;
  expect((await containerd.pull(reference, { hostsDir })).code).not.toBe(0);
  expect([...(await containerd.content()).keys()]).not.toContain(layer.digest);
  expect(await wrongFiles(layer)).toEqual([]);

  upstream.content.addBlob(repository, right, layer.digest);
  mustSucceed(await containerd.pull(reference, { hostsDir }));
  expect((await containerd.content()).get(layer.digest)).toBe(layer.digest);
  expect([...(await containerd.content()).keys()]).toContain(image.amd64.manifest.digest);
});

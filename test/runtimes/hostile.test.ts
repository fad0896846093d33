import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { UpstreamRegistry } from '../../demo/upstream-registry.ts';
import { digestOf, deterministicBytes } from '../support/bytes.ts';
import { startContainerd } from './containerd.ts';
import { ask, pullImage } from './door.ts';
import { keepLogsOnFailure } from './failure-logs.ts';
import { basic, type PushedImage } from './images.ts';
import { mirrorContainerd } from './mirrors.ts';
import { startScene, type Scene } from './scene.ts';
import type { ImageLayer } from '../../demo/oci-layout.ts';

const ALICE = { user: 'alice', password: 'right' };
const EVIL = 'evil.test';
const REPOSITORY = 'evil/app';
const SAMPLE_BYTES = 32;

let scene: Scene;
let evil: UpstreamRegistry;
let victim: PushedImage;
let secret: ImageLayer;
let small: ImageLayer;
let secretBytes: Buffer;

beforeAll(async () => {
  evil = await UpstreamRegistry.start();
  scene = await startScene({
    auth: { kind: 'htpasswd', ...ALICE },
    credentials: ALICE,
    cluster: { upstreams: { [EVIL]: { endpoint: evil.url, plainHttp: true } } },
  });
  victim = await scene.push('victim/secret', [5_000_000, 100_000]);
  secret = layerAt(victim, 1);
  small = layerAt(victim, 2);
  secretBytes = await readFile(secret.path);
  for (const agent of scene.cluster.agents) {
    await pullImage(agent.door, victim.tag, scene.asked(victim.repository, basic(ALICE)));
  }
});
afterAll(async () => {
  await scene?.[Symbol.asyncDispose]();
  await evil?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  evil.configure({ headLies: undefined });
  evil.faults.clear();
});

function layerAt(pushed: PushedImage, index: number): ImageLayer {
  const layer = pushed.image.layers[index];
  if (layer === undefined) throw new Error(`no layer ${index}`);
  return layer;
}

/** Asks each agent for a blob in the hostile registry's name; tells of every agent that gave anything of it away. */
async function stealBy(layer: ImageLayer, range?: string): Promise<object[]> {
  const original = await readFile(layer.path);
  const thefts: object[] = [];
  for (const agent of scene.cluster.agents) {
    const saveTo = join(scene.directory, `stolen-${agent.name}`);
    const asked = { registry: EVIL, repository: REPOSITORY };
    const options = range === undefined ? { saveTo } : { saveTo, range };
    const { status, bytes, complete } = await ask(agent.door, `blobs/${layer.digest}`, asked, options);
    const body = bytes === 0 ? Buffer.alloc(0) : await readFile(saveTo);
    const leaked = samplesOf(body).filter((sample) => original.includes(sample)).length;
    const whole = status < 300 && complete && bytes > 0;
    if (leaked > 0 || whole) thefts.push({ agent: agent.name, status, bytes, whole, leaked });
  }
  return thefts;
}

/** Short runs out of a body, spread over all of it. */
function samplesOf(body: Buffer): Buffer[] {
  const samples: Buffer[] = [];
  for (let at = 0; at + SAMPLE_BYTES <= body.length; at += Math.max(SAMPLE_BYTES, body.length >> 6)) {
    samples.push(body.subarray(at, at + SAMPLE_BYTES));
  }
  return samples;
}

test("a registry that says 200 to HEAD of a victim's digest gets none of its bytes out of any agent", async () => {
  keepLogsOnFailure(scene.cluster);
  for (const layer of [secret, small]) {
    evil.configure({ headLies: { size: layer.size } });
    expect(await stealBy(layer)).toEqual([]);
    expect(await stealBy(layer, 'bytes=1000-1999')).toEqual([]);
  }
});

test('nor does one that delivers other bytes of the same length under that digest', async () => {
  keepLogsOnFailure(scene.cluster);
  for (const layer of [secret, small]) {
    evil.content.addBlob(REPOSITORY, deterministicBytes('not yours', layer.size), layer.digest);
    expect(await stealBy(layer)).toEqual([]);
    expect(await stealBy(layer, 'bytes=1000-1999')).toEqual([]);
    evil.content.remove(REPOSITORY, layer.digest);
  }
});

test("nor does one that answers with the first part of the victim's bytes, which it knows, and cuts", async () => {
  keepLogsOnFailure(scene.cluster);
  const known = 600_000;
  const mixed = Buffer.concat([secretBytes.subarray(0, known), Buffer.alloc(secret.size - known)]);
  evil.content.addBlob(REPOSITORY, mixed, secret.digest);
  for (const agent of scene.cluster.agents) {
    const saveTo = join(scene.directory, `stolen-${agent.name}`);
    const asked = { registry: EVIL, repository: REPOSITORY };
    const answer = await ask(agent.door, `blobs/${secret.digest}`, asked, { saveTo });
    const body = answer.bytes === 0 ? Buffer.alloc(0) : await readFile(saveTo);
    expect(answer.status < 300 && answer.complete && answer.bytes === secret.size).toBe(false);
    expect(samplesOf(body.subarray(known)).filter((sample) => secretBytes.includes(sample))).toEqual([]);
  }
  evil.content.remove(REPOSITORY, secret.digest);
});

test("a manifest that names the victim's blob as a foreign layer opens nothing, to HTTP or to containerd", async () => {
  keepLogsOnFailure(scene.cluster);
  const config = Buffer.from(
    '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}',
  );
  evil.content.addBlob(REPOSITORY, config);
  evil.content.addManifest(
    REPOSITORY,
    {
      schemaVersion: 2,
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      config: {
        mediaType: 'application/vnd.docker.container.image.v1+json',
        digest: digestOf(config),
        size: config.length,
      },
      layers: [
        {
          mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
          digest: secret.digest,
          size: secret.size,
          urls: [`${scene.registry.url}/v2/${victim.repository}/blobs/${secret.digest}`],
        },
      ],
    },
    { tag: 'v1', mediaType: 'application/vnd.docker.distribution.manifest.v2+json' },
  );
  await using containerd = await startContainerd(join(scene.directory, 'containerd-evil'));
  const registry = { name: EVIL, url: evil.url, caFile: undefined };
  const hostsDir = await mirrorContainerd(join(scene.directory, 'node-of-evil'), registry, scene.agent(5));
  const pulled = await containerd.pull(`${EVIL}/${REPOSITORY}:v1`, { hostsDir });
  expect(pulled.code).not.toBe(0);
  expect([...(await containerd.content()).keys()]).not.toContain(secret.digest);
  for (const agent of scene.cluster.agents) {
    const asked = { registry: EVIL, repository: REPOSITORY };
    const answer = await ask(agent.door, `blobs/${secret.digest}`, asked);
    expect({ agent: agent.name, status: answer.status }).toEqual({ agent: agent.name, status: 404 });
  }
});

test('who may read the blob still gets it after all that', async () => {
  keepLogsOnFailure(scene.cluster);
  const asked = scene.asked(victim.repository, basic(ALICE));
  const pulls = scene.cluster.agents.map((agent) => pullImage(agent.door, victim.tag, asked));
  expect(await Promise.all(pulls)).toHaveLength(6);
});

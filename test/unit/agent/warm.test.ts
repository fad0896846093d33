import { request } from 'undici';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { type ImageParts, warmImage } from '#agent/warm/warm-image.ts';
import { OCI_INDEX, OCI_MANIFEST } from '#registry/media-types.ts';
import { Mirror } from '#registry/mirror.ts';
import { hostPlatform } from '#registry/platform.ts';
import { parseReference } from '#registry/reference.ts';

import type { Auth } from '../../../demo/upstream/authority.ts';
import { UpstreamRegistry, type UpstreamOptions } from '../../../demo/upstream-registry.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { type AgentFixture, startAgentFixture } from './agent-fixture.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'team/app';
const USERS = [{ name: 'ann', password: 'pw', repositories: 'all' as const }];
const AUTHS: readonly Auth[] = [
  { kind: 'basic', users: USERS },
  { kind: 'token', users: USERS },
];
const ANN = { kind: 'password', username: 'ann', password: 'pw' } as const;

interface Scene {
  readonly upstream: UpstreamRegistry;
  readonly agent: AgentFixture;
  /** Names the image. */
  readonly image: string;
  /** Of the index, and of this platform's layers. */
  readonly root: string;
  readonly layers: readonly string[];
}

/** An image of two platforms in a registry, and an agent that has nothing of it. */
async function startScene(
  options: UpstreamOptions = {},
  agentOptions: Partial<Parameters<typeof startAgentFixture>[0]> = {},
): Promise<Scene> {
  const upstream = await UpstreamRegistry.start(options);
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const { content } = upstream;
  const layersOf = (platform: string): string[] =>
    [2 * MIB, 3 * MIB + 17].map((size, index) =>
      content.addBlob(REPOSITORY, deterministicBytes(`${platform} ${index}`, size)),
    );
  const add = (platform: string, layers: readonly string[]): string => {
    const config = Buffer.from(JSON.stringify({ platform }));
    return content.addManifest(REPOSITORY, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: describeBlob(content.addBlob(REPOSITORY, config), config.length),
      layers: layers.map((digest, index) => describeBlob(digest, index === 0 ? 2 * MIB : 3 * MIB + 17)),
    });
  };
  const layers = layersOf('own');
  const manifests = [
    entry(add('other', layersOf('other')), { os: 'linux', architecture: 'mips' }),
    entry(add('own', layers), hostPlatform()),
  ];
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests };
  const root = content.addManifest(REPOSITORY, index, { tag: 'v1' });
  const agent = await startAgentFixture({ registries: [upstream], ...agentOptions });
  onTestFinished(() => agent[Symbol.asyncDispose]());
  return { upstream, agent, image: `${upstream.host}/${REPOSITORY}:v1`, root, layers };
}

function describeBlob(digest: string, size: number): object {
  return { mediaType: 'application/octet-stream', digest, size, annotations: { origin: 'a build' } };
}

function entry(digest: string, platform: object): object {
  return { mediaType: OCI_MANIFEST, size: 1, digest, platform };
}

async function warm(
  { agent }: Scene,
  body: object,
): Promise<{ status: number; answer: Record<string, unknown> }> {
  const response = await request(`http://${agent.agent.membersAddress}/v1/warm`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer: Record<string, unknown> = JSON.parse(await response.body.text());
  return { status: response.statusCode, answer };
}

async function untilState(scene: Scene, body: object, state: string): Promise<Record<string, unknown>> {
  let last: Record<string, unknown> = {};
  await expect
    .poll(async () => (last = (await warm(scene, body)).answer)['state'], { timeout: 20_000 })
    .toBe(state);
  return last;
}

describe('a preheat', () => {
  test('remembers nothing of a manifest but digests and sizes: annotations may be megabytes', async () => {
    const { upstream, agent, root, layers } = await startScene();
    const reference = parseReference(`${upstream.host}/${REPOSITORY}:v1`);
    await using mirror = new Mirror(reference, { agent: new URL(`http://${agent.agent.address}/`) });
    const onFound = vi.fn<(found: ImageParts) => void>();
    await warmImage(mirror, reference, { holds: () => true, onFound }, AbortSignal.timeout(20_000));
    expect(onFound.mock.calls[0]?.[0]).toMatchObject({
      root,
      blobs: [
        { digest: expect.any(String), size: 18 },
        { digest: layers[0], size: 2 * MIB },
        { digest: layers[1], size: 3 * MIB + 17 },
      ],
    });
    expect(JSON.stringify(onFound.mock.calls)).not.toContain('a build');
  });

  test('makes a node hold every layer of its own platform, and nothing of others', async () => {
    const scene = await startScene();
    const first = await warm(scene, { image: scene.image });
    expect(first).toMatchObject({ status: 200, answer: { state: 'fetching' } });
    expect(await untilState(scene, { image: scene.image }, 'warm')).toEqual({
      state: 'warm',
      digest: scene.root,
      blobs: { total: 3, held: 3 },
      bytes: { total: 5 * MIB + 17 + 18, held: 5 * MIB + 17 + 18 },
    });
    const crossed = scene.upstream.log.bodyBytesByDigest();
    for (const layer of scene.layers) {
      const answer = await scene.agent.get(scene.upstream, `${REPOSITORY}/blobs/${layer}`);
      expect(answer).toMatchObject({ status: 200, complete: true });
      expect(scene.upstream.log.bodyBytesByDigest().get(layer)).toBe(crossed.get(layer));
    }
    const blobs = [...crossed.keys()].filter((digest) => (crossed.get(digest) ?? 0) > MIB);
    expect(blobs.toSorted()).toEqual([...scene.layers].toSorted());
  });

  test('tells how far it is, and goes on when it is asked again after a restart of the agent', async () => {
    const scene = await startScene({ bytesPerSecond: 2 * MIB });
    await warm(scene, { image: scene.image });
    await expect
      .poll(async () => (await warm(scene, { image: scene.image })).answer['bytes'])
      .toMatchObject({ total: 5 * MIB + 17 + 18 });
    const agent = await startAgentFixture({ registries: [scene.upstream], after: scene.agent });
    onTestFinished(() => agent[Symbol.asyncDispose]());
    scene.upstream.configure({ bytesPerSecond: undefined });
    await untilState({ ...scene, agent }, { image: `${scene.image}@${scene.root}` }, 'warm');
  });

  test.each(AUTHS)('of a private image gets it by the credential that comes along: $kind', async (auth) => {
    const scene = await startScene({ auth });
    const without = await untilState(scene, { image: scene.image }, 'failed');
    expect(without['reason']).toContain('401');
    expect(await untilState(scene, { image: scene.image, credential: ANN }, 'warm')).not.toHaveProperty(
      'reason',
    );
    expect(JSON.stringify(scene.agent.log)).not.toContain('pw');
  });

  test('fails with the reason where the store has no room', async () => {
    const scene = await startScene({}, { quota: '1MiB' });
    const full = await untilState(scene, { image: scene.image }, 'failed');
    expect(full['reason']).toMatch(/manifests and blobs were fetched but not kept: the store has no room/u);
  });

  test('fails with the reason where the image is not there', async () => {
    const scene = await startScene();
    const missing = await untilState(scene, { image: scene.image.replace('v1', 'v2') }, 'failed');
    expect(missing['reason']).toContain('404');
    expect(missing['reason']).not.toContain(scene.agent.agent.address);
  });

  test('is refused for what is no image', async () => {
    const scene = await startScene();
    expect(await warm(scene, { image: 'Not an image' })).toMatchObject({ status: 400 });
    expect(await warm(scene, { image: 'app', more: 1 })).toMatchObject({ status: 400 });
  });
});

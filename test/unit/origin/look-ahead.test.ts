import { afterEach, expect, test, vi } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_OPENED_AHEAD, OPENED_AHEAD_MS } from '#origin/defaults.ts';
import { OpenedAhead } from '#origin/opened-ahead.ts';
import { BlobRead } from '#registry/blob-read.ts';
import { type Digest, parseDigest } from '#registry/digest.ts';
import type { AccessEntry } from '../../../demo/upstream/access-log.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

afterEach(() => vi.useRealTimers());

const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';

const manifest = (name: string): object => ({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: `sha256:${'0'.repeat(64)}`, size: 2 },
  layers: [],
  annotations: { name },
});

/** An image of such layers. */
function addImage(
  fixture: OriginFixture,
  layers: readonly { digest: Digest; size: number }[],
  repository = 'team/app',
): Digest {
  const named = layers.map((layer) => ({ mediaType: OCI_LAYER, ...layer }));
  return parseDigest(
    fixture.upstream.content.addManifest(repository, { ...manifest('layers'), layers: named }),
  );
}

function as(name: string, password = name): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}

function digestAt(at: number): Digest {
  return parseDigest(`sha256:${String(at).padStart(64, '0')}`);
}

/** One that is never read. */
function bodyThat(isCancelled: () => unknown): BlobRead {
  const upstream = { head: never, get: never };
  const target = {
    registry: 'r.example',
    repository: 'team/app',
    kind: 'blob',
    reference: digestAt(0),
  } as const;
  const settings = { backoff: { baseMs: 1, capMs: 1, random: Math.random }, now: () => 0 };
  const body = new BlobRead({ upstream }, target, { kind: 'forward' }, AbortSignal.abort(), settings);
  vi.spyOn(body, 'cancel').mockImplementation(() => void isCancelled());
  return body;
}

function never(): Promise<never> {
  throw new Error('nobody is asked');
}

function requestsFor({ upstream }: OriginFixture, wanted: Digest): AccessEntry[] {
  return upstream.log.entries.filter(({ method, path }) => method === 'GET' && path.endsWith(wanted));
}

function addLayers(fixture: OriginFixture, count: number): { digest: Digest; size: number }[] {
  return Array.from({ length: count }, (_, at) => {
    const bytes = deterministicBytes(`layer ${at}`, 6 * MIB);
    return { digest: addBlob(fixture.upstream, bytes), size: bytes.length };
  });
}

test('manifest and config for the asking node are fetched before they are asked for; other platforms and an index in an index are not', async () => {
  await using fixture = await OriginFixture.start({ settings: { tags: { lifetime: '1h' } } });
  const { upstream } = fixture;
  const image = (architecture: string): object => {
    const config = deterministicBytes(`config of ${architecture}`, 700);
    const digest = upstream.content.addManifest('team/app', {
      ...manifest(architecture),
      config: { mediaType: 'application/json', digest: addBlob(upstream, config), size: config.length },
    });
    return { mediaType: OCI_MANIFEST, digest, size: 400, platform: { os: 'linux', architecture } };
  };
  const index = {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [image('amd64'), image('arm64')],
  };
  upstream.content.addManifest('team/app', index, { tag: 'v1' });
  const asked = { accept: `${OCI_INDEX}, ${OCI_MANIFEST}` };
  await fixture.ask(0, 'manifests/v1', asked);
  await sleep(100);
  expect(upstream.log.gets).toBe(1);
  upstream.content.addManifest('team/app', index, { tag: 'v2' });
  const headers = { 'shoal-platform': 'linux/arm64' };
  await fixture.ask(0, 'manifests/v2', { ...asked, headers });
  await until('manifest and config are there', () => upstream.log.gets === 4);
  await fixture.ask(1, 'manifests/v2', { ...asked, headers });
  let [, below] = index.manifests;
  for (let depth = 0; depth < 5; depth++) {
    const digest = upstream.content.addManifest('team/app', { ...index, manifests: [below] }, { tag: 'v3' });
    below = { mediaType: OCI_INDEX, digest, size: 400, platform: { os: 'linux', architecture: 'arm64' } };
  }
  const before = upstream.log.gets;
  await fixture.ask(0, 'manifests/v3', { ...asked, headers });
  await until('the index within is there', () => upstream.log.gets === before + 2);
  await sleep(100);
  expect(upstream.log.gets).toBe(before + 2);
});

test('a config is read ahead only if it is small, whatever the manifest says of its size; who asks for it has it', async () => {
  await using fixture = await OriginFixture.start();
  const { upstream } = fixture;
  const large = deterministicBytes('large', 24 * MIB);
  const digest = addBlob(upstream, large);
  const naming = (mediaType: string): string =>
    upstream.content.addManifest('team/app', {
      ...manifest(mediaType),
      config: { mediaType, digest, size: 100 },
    });
  const empty = naming('application/vnd.oci.empty.v1+json');
  await fixture.ask(fixture.order(empty)[0]!, `manifests/${empty}`, { accept: OCI_MANIFEST });
  await sleep(200);
  expect(requestsFor(fixture, digest)).toEqual([]);
  const liar = naming('application/json');
  await fixture.ask(fixture.order(liar)[0]!, `manifests/${liar}`, { accept: OCI_MANIFEST });
  await until('it is opened', () => requestsFor(fixture, digest).length === 1);
  expect(fixture.upstreamBytes(digest)).toBeLessThan(large.length / 2);
  const member = await fixture.member();
  expect(await readDigest(await fixture.join(member, await fixture.describe(0, digest)))).toBe(digest);
});

test('the first layers are opened before they are asked for, and crossed the link once when they were pulled', async () => {
  await using fixture = await OriginFixture.start();
  const layers = addLayers(fixture, 4);
  const image = addImage(fixture, layers);
  await fixture.ask(fixture.order(image)[0]!, `manifests/${image}`, { accept: OCI_MANIFEST });
  const opened = (): number[] => layers.map(({ digest }) => requestsFor(fixture, digest).length);
  await until('three are opened', () => opened().join() === '1,1,1,0');
  const agent = await fixture.member();
  for (const { digest, size } of layers) {
    const descriptor = await fixture.describe(fixture.order(digest)[0]!, digest);
    expect(await readDigest(await fixture.join(agent, descriptor))).toBe(digest);
    expect(fixture.upstreamBytes(digest)).toBe(size);
  }
  expect(opened()).toEqual([1, 1, 1, 1]);
});

test('what the swarm, a store or a read has is not opened before it is asked for', async () => {
  await using fixture = await OriginFixture.start();
  const [stored, inSwarm] = addLayers(fixture, 2);
  const agent = await fixture.member();
  for (const { digest } of [stored!, inSwarm!])
    await readDigest(await fixture.join(agent, await fixture.describe(fixture.order(digest)[0]!, digest)));
  await until(
    'the agent has stored both',
    () => agent.store.has(stored!.digest) && agent.store.has(inSwarm!.digest),
  );
  const [owner = 0, next = 1] = fixture.order(inSwarm!.digest);
  // The ring's next origin has no copy of its own.
  await fixture.stopOrigin(owner);
  const before = fixture.upstream.log.gets;
  for (const layers of [[stored!], [inSwarm!]]) {
    const image = addImage(fixture, layers);
    await fixture.ask(next, `manifests/${image}`, { accept: OCI_MANIFEST });
  }
  await sleep(300);
  expect(fixture.upstream.log.gets).toBe(before + 2);
});

test('what was opened with one credential serves nobody with another', async () => {
  const users = ['ann', 'bob'].map((name) => ({ name, password: name, repositories: ['team/app'] }));
  await using fixture = await OriginFixture.start({ upstream: { auth: { kind: 'basic', users } } });
  const [layer] = addLayers(fixture, 1);
  const image = addImage(fixture, [layer!]);
  const { digest } = layer!;
  await fixture.ask(fixture.order(image)[0]!, `manifests/${image}`, { accept: OCI_MANIFEST, ...as('ann') });
  await until('it is opened', () => requestsFor(fixture, digest).length === 1);
  const owner = fixture.order(digest)[0]!;
  expect((await fixture.ask(owner, `blobs/${digest}`)).status).toBe(401);
  expect((await fixture.ask(owner, `blobs/${digest}`, as('bob', 'guess'))).status).toBe(401);
  expect(await fixture.describe(owner, digest, as('ann'))).toMatchObject({ digest });
  expect(requestsFor(fixture, digest).map(({ user }) => user)).toEqual(['ann', undefined, undefined]);
});

test('an answer that nobody comes for is given up, and so is what there is no room for', () => {
  vi.useFakeTimers();
  using openedAhead = new OpenedAhead();
  const cancelled: string[] = [];
  const caller = { registry: 'r.example', repository: 'team/app', positive: false };
  const hold = (at: number, name = String(at)): void => {
    openedAhead.hold(caller, digestAt(at), { size: 1, body: bodyThat(() => cancelled.push(name)) });
  };
  hold(0);
  expect(openedAhead.take(caller, digestAt(0))).toMatchObject({ size: 1 });
  expect(openedAhead.take(caller, digestAt(0))).toBeUndefined();
  hold(1, 'earlier');
  hold(1, 'later');
  expect(cancelled).toEqual(['earlier']);
  for (let at = 2; at < MAX_OPENED_AHEAD; at++) hold(at);
  {
    using last = openedAhead.place();
    expect(last).toBeDefined();
    expect(openedAhead.place()).toBeUndefined();
  }
  vi.advanceTimersByTime(OPENED_AHEAD_MS);
  expect(cancelled.length).toBe(MAX_OPENED_AHEAD);
  expect(openedAhead.place()).toBeDefined();
  hold(1, 'at the end');
  openedAhead[Symbol.dispose]();
  expect(cancelled.at(-1)).toBe('at the end');
});

import { afterEach, expect, test, vi } from 'vitest';
import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_OPENED_AHEAD, OPENED_AHEAD_MS } from '#origin/defaults.ts';
import { OpenedAhead } from '#origin/opened-ahead.ts';
import { BlobRead } from '#registry/blob-read.ts';
import { type Digest, parseDigest } from '#registry/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '#registry/media-types.ts';
import type { AccessEntry } from '../../../demo/upstream/access-log.ts';
import type { Fault } from '../../../demo/upstream/faults.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, manifest, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

afterEach(() => vi.useRealTimers());

const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';

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

/** Of a body that is never read. */
const NEVER_READ = [
  { upstream: { head: never, get: never } },
  { registry: 'r.example', repository: 'team/app', kind: 'blob', reference: digestAt(0) },
  { kind: 'forward' },
  AbortSignal.abort(),
  { backoff: { baseMs: 1, capMs: 1, random: Math.random }, now: () => 0 },
] as const satisfies ConstructorParameters<typeof BlobRead>;

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
  const opened = (): string => layers.map(({ digest }) => requestsFor(fixture, digest).length).join();
  await until('three are opened', () => opened() === '1,1,1,0');
  const agent = await fixture.member();
  for (const { digest, size } of layers) {
    const descriptor = await fixture.describe(fixture.order(digest)[0]!, digest);
    expect(await readDigest(await fixture.join(agent, descriptor))).toBe(digest);
    expect(fixture.upstreamBytes(digest)).toBe(size);
  }
  // Of those that were opened the rest is asked for by Range.
  expect(opened()).toBe('2,2,2,1');
});

test('what an origin has stored or reads is not asked for ahead', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { bytesPerSecond: 4 * MIB } });
  const [stored, reading] = addLayers(fixture, 2);
  const agent = await fixture.member();
  await readDigest(await fixture.join(agent, await fixture.describe(0, stored!.digest)));
  const other = readDigest(await fixture.join(agent, await fixture.describe(0, reading!.digest)));
  const image = addImage(fixture, [stored!, reading!]);
  await fixture.ask(0, `manifests/${image}`, { accept: OCI_MANIFEST });
  expect(await other).toBe(reading!.digest);
  for (const { digest } of [stored!, reading!]) expect(requestsFor(fixture, digest).length).toBe(1);
});

test('what only the swarm has, and what a limit would hold back, is not asked for ahead', async () => {
  await using fixture = await OriginFixture.start({ origins: 1 });
  const [layer] = addLayers(fixture, 1);
  const { digest } = layer!;
  const agent = await fixture.member();
  await readDigest(await fixture.join(agent, await fixture.describe(0, digest)));
  await until('the agent has stored it', () => agent.store.has(digest));
  await fixture.stopOrigin(0);
  await rm(fixture.directory(0), { recursive: true });
  await mkdir(fixture.directory(0));
  await fixture.startOrigin(0);
  const image = addImage(fixture, [layer!]);
  // Its tracker has heard of the agent's copy.
  await sleep(1_500);
  await fixture.ask(0, `manifests/${image}`, { accept: OCI_MANIFEST });
  await sleep(300);
  expect(requestsFor(fixture, digest).length).toBe(1);

  await using limited = await OriginFixture.start({
    origins: 1,
    settings: { bandwidth: { download: '10MB/s' } },
  });
  const layers = addLayers(limited, 1);
  await limited.ask(0, `manifests/${addImage(limited, layers)}`, { accept: OCI_MANIFEST });
  await sleep(300);
  expect(requestsFor(limited, layers[0]!.digest)).toEqual([]);
});

test.each<Fault>([{ kind: 'status', status: 503 }, { kind: 'hang' }])(
  'where upstream answers HEAD with $kind, who has another credential asks by GET as ever',
  async (fault) => {
    const users = ['ann', 'bob'].map((name) => ({ name, password: name, repositories: ['team/app'] }));
    await using fixture = await OriginFixture.start({ upstream: { auth: { kind: 'basic', users } } });
    const [layer] = addLayers(fixture, 1);
    const image = addImage(fixture, [layer!]);
    const { digest } = layer!;
    fixture.upstream.faults.inject(fault, { method: 'HEAD', digest });
    await fixture.ask(fixture.order(image)[0]!, `manifests/${image}`, { accept: OCI_MANIFEST, ...as('ann') });
    await until('it is opened', () => requestsFor(fixture, digest).length === 1);
    expect(await fixture.describe(fixture.order(digest)[0]!, digest, as('bob'))).toMatchObject({ digest });
  },
);

test('a registry that ignores Range sends the layer once', async () => {
  await using fixture = await OriginFixture.start({ origins: 1 });
  const [layer] = addLayers(fixture, 1);
  const { digest, size } = layer!;
  fixture.upstream.faults.inject({ kind: 'ignore-range' }, { digest });
  await fixture.ask(0, `manifests/${addImage(fixture, [layer!])}`, { accept: OCI_MANIFEST });
  await until('it is opened', () => requestsFor(fixture, digest).length === 1);
  const agent = await fixture.member();
  expect(await readDigest(await fixture.join(agent, await fixture.describe(0, digest)))).toBe(digest);
  expect(fixture.upstreamBytes(digest)).toBe(size);
  expect(requestsFor(fixture, digest).length).toBe(1);
});

test('a registry that is slow to answer has been asked once when its answer comes', async () => {
  await using fixture = await OriginFixture.start({ origins: 1 });
  const [layer] = addLayers(fixture, 1);
  const { digest } = layer!;
  const image = addImage(fixture, [layer!]);
  fixture.upstream.configure({ latencyMs: 1_300 });
  await fixture.ask(0, `manifests/${image}`, { accept: OCI_MANIFEST });
  expect(await fixture.describe(0, digest)).toMatchObject({ digest });
  expect(requestsFor(fixture, digest).map(({ range }) => range)[0]).toBe('bytes=0-262143');
  expect(requestsFor(fixture, digest).some(({ range }) => range === undefined)).toBe(false);
});

test('what is being asked for already is not asked for ahead', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { latencyMs: 100 } });
  const [layer] = addLayers(fixture, 1);
  const small = deterministicBytes('small', 3_000);
  const blobs = [{ digest: addBlob(fixture.upstream, small), size: small.length }, layer!];
  const asked = blobs.map(({ digest }) => fixture.ask(0, `blobs/${digest}`));
  for (const { digest } of blobs)
    await until('it is asked for', () => requestsFor(fixture, digest).length === 1);
  for (const { digest, size } of blobs)
    await fixture.ask(0, `blobs/${digest}`, { headers: { 'shoal-ahead': String(size) } });
  await Promise.all(asked);
  await sleep(200);
  for (const { digest } of blobs) expect(requestsFor(fixture, digest).length).toBe(1);
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
  const given = requestsFor(fixture, digest).filter(({ status }) => status < 300);
  expect(new Set(given.map(({ user }) => user))).toEqual(new Set(['ann']));
});

test('what was opened under one credential is read on by who has another, after upstream has said yes to him', async () => {
  const users = ['ann', 'bob'].map((name) => ({ name, password: name, repositories: ['team/app'] }));
  await using fixture = await OriginFixture.start({ upstream: { auth: { kind: 'basic', users } } });
  const [layer] = addLayers(fixture, 1);
  const image = addImage(fixture, [layer!]);
  const { digest, size } = layer!;
  await fixture.ask(fixture.order(image)[0]!, `manifests/${image}`, { accept: OCI_MANIFEST, ...as('ann') });
  await until('it is opened', () => requestsFor(fixture, digest).length === 1);
  const descriptor = await fixture.describe(fixture.order(digest)[0]!, digest, as('bob'));
  const agent = await fixture.member();
  expect(await readDigest(await fixture.join(agent, descriptor))).toBe(digest);
  expect(fixture.upstreamBytes(digest)).toBe(size);
  // Apart from the question whether anybody may read the repository.
  const asked = fixture.upstream.log.entries.filter(({ path, user }) => path.endsWith(digest) && user);
  expect(asked.map(({ method, user }) => `${method} ${user}`)).toEqual(['GET ann', 'HEAD bob', 'GET bob']);
});

test('repositories that share a layer ask for it ahead once, and whose own was not asked for does not wait', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { latencyMs: 200 } });
  const bytes = deterministicBytes('shared', 6 * MIB);
  const names = Array.from({ length: 8 }, (_, at) => `team/app-${at}`);
  const digest = addBlob(fixture.upstream, bytes);
  for (const name of names) fixture.upstream.content.addBlob(name, bytes);
  const images = names.map((name) => addImage(fixture, [{ digest, size: bytes.length }], name));
  const asked = names.map((repository, at) =>
    fixture.ask(0, `manifests/${images[at]}`, { accept: OCI_MANIFEST, repository }),
  );
  expect(new Set((await Promise.all(asked)).map(({ status }) => status))).toEqual(new Set([200]));
  const descriptors = await Promise.all(
    names.map((repository) => fixture.describe(0, digest, { repository })),
  );
  const agent = await fixture.member();
  expect(await readDigest(await fixture.join(agent, descriptors[0]!))).toBe(digest);
  // Ahead, and of who asked first; a piece may have come twice.
  expect(requestsFor(fixture, digest).length).toBeLessThanOrEqual(2);
  expect(fixture.upstreamBytes(digest)).toBeLessThanOrEqual(bytes.length + 256 * 1024);
});

test.each<Fault>([{ kind: 'status', status: 429, retryAfterSeconds: 5 }, { kind: 'hang' }])(
  'an upstream that answers a request ahead with $kind is nobody else’s trouble',
  async (fault) => {
    await using fixture = await OriginFixture.start({ origins: 1 });
    const { upstream } = fixture;
    const bytes = deterministicBytes('layer', 6 * MIB);
    const digest = addBlob(upstream, bytes);
    upstream.content.addBlob('team/other', bytes);
    upstream.faults.inject(fault, { digest, times: 1 });
    const image = addImage(fixture, [{ digest, size: bytes.length }]);
    await fixture.ask(0, `manifests/${image}`, { accept: OCI_MANIFEST });
    await until('it was asked for', () => requestsFor(fixture, digest).length === 1);
    const from = performance.now();
    expect((await fixture.ask(0, `blobs/${digest}`, { repository: 'team/other' })).status).toBe(200);
    // Far below what the registry asked to wait, and what a silent one is given.
    expect(performance.now() - from).toBeLessThan(4_000);
  },
);

test('what nobody comes for is given up, its request ended, and there is room for so many only', async () => {
  vi.useFakeTimers();
  const events = {
    tookAhead: vi.fn<() => void>(),
    gaveUpAhead: vi.fn<(registry: string, bytes: number) => void>(),
  };
  using openedAhead = new OpenedAhead({ events });
  const caller = { registry: 'r.example', repository: 'team/app', positive: false };
  const ended: number[] = [];
  const open = (at: number): void =>
    openedAhead.open({ caller, digest: digestAt(at) }, async (signal) => {
      signal.addEventListener('abort', () => ended.push(at));
      return { size: 5 * MIB, body: new BlobRead(...NEVER_READ) };
    });
  for (let at = 0; at <= MAX_OPENED_AHEAD; at++) open(at);
  expect(openedAhead.find(caller, digestAt(MAX_OPENED_AHEAD))).toBeUndefined();
  expect(openedAhead.find({ ...caller, repository: 'other' }, digestAt(0))).toBeUndefined();
  const found = openedAhead.find(caller, digestAt(0))!;
  expect(await openedAhead.wait(found, 1)).toMatchObject({ size: 5 * MIB });
  expect([openedAhead.take(found), openedAhead.take(found)]).toEqual([true, false]);
  expect(events.tookAhead).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(OPENED_AHEAD_MS);
  expect(ended.length).toBe(MAX_OPENED_AHEAD - 1);
  expect(events.gaveUpAhead).toHaveBeenCalledTimes(MAX_OPENED_AHEAD - 1);
  expect(events.gaveUpAhead).toHaveBeenCalledWith('r.example', 256 * 1024);
});

test('who asks while upstream is silent waits a moment, then asks for himself', async () => {
  vi.useFakeTimers();
  const events = { tookAhead: () => {}, gaveUpAhead: () => {} };
  using openedAhead = new OpenedAhead({ events });
  const caller = { registry: 'r.example', repository: 'team/app', positive: false };
  openedAhead.open({ caller, digest: digestAt(0) }, () => new Promise(() => {}));
  const answer = openedAhead.wait(openedAhead.find(caller, digestAt(0))!, 700);
  await vi.advanceTimersByTimeAsync(700);
  expect(await answer).toBeUndefined();
});

import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { normalizeAccept } from '#origin/tags.ts';
import { digestOf } from '#registry/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '#registry/media-types.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, manifest, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

test('small content that many ask for at once is read once, and its bytes come with their type', async () => {
  await using fixture = await OriginFixture.start({ upstream: { latencyMs: 50 } });
  const { upstream } = fixture;
  const config = addBlob(upstream, deterministicBytes('config', 5000));
  const named = upstream.content.addManifest('team/app', manifest('one'));
  const told = await Promise.all(
    [0, 1, 0, 1, 0].flatMap((origin) => [
      fixture.ask(origin, `blobs/${config}`),
      fixture.ask(origin, `manifests/${named}`, { accept: OCI_MANIFEST }),
    ]),
  );
  expect(told.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
  expect(told[0]!.body).toEqual(deterministicBytes('config', 5000));
  expect(told[1]!.headers).toMatchObject({ 'content-type': OCI_MANIFEST, 'docker-content-digest': named });
  expect(upstream.log.gets).toBe(2);
  // Kept: upstream may go.
  await upstream.stop();
  expect((await fixture.ask(0, `manifests/${named}`)).body.toString()).toContain('"one"');
  expect((await fixture.ask(1, `blobs/${config}`)).status).toBe(200);
});

test('wrong bytes of a small blob are not answered with', async () => {
  await using fixture = await OriginFixture.start();
  const digest = addBlob(fixture.upstream, deterministicBytes('small', 3000));
  fixture.upstream.faults.inject({ kind: 'corrupt', offset: 7 }, { digest, times: 1 });
  const wrong = await fixture.ask(0, `blobs/${digest}`);
  expect(wrong).toMatchObject({ status: 502, headers: { 'shoal-upstream': 'unreachable' } });
  expect((await fixture.ask(0, `blobs/${digest}`)).status).toBe(200);
});

test('a tag is resolved once for all, and seen to move within its lifetime', async () => {
  await using fixture = await OriginFixture.start({ settings: { tags: { lifetime: '2s' } } });
  const { upstream } = fixture;
  const first = upstream.content.addManifest('team/app', manifest('first'), { tag: 'latest' });
  const asked = { accept: `${OCI_INDEX}, ${OCI_MANIFEST}` };
  const digestFrom = async (origin: number): Promise<unknown> =>
    (await fixture.ask(origin, 'manifests/latest', asked)).headers['docker-content-digest'];
  const answers = await Promise.all([0, 1, 0, 1].map(digestFrom));
  expect(answers).toEqual([first, first, first, first]);
  expect(upstream.log.entries.length).toBe(1);
  const second = upstream.content.addManifest('team/app', manifest('second'), { tag: 'latest' });
  await sleep(2050);
  expect(await Promise.all([0, 1].map(digestFrom))).toEqual([second, second]);
  expect(upstream.log.heads).toBe(1);
});

test('a tag is answered from memory only while upstream is down, and a removed one never', async () => {
  await using fixture = await OriginFixture.start({
    origins: 1,
    settings: { tags: { lifetime: '100ms', stale: '1h' } },
  });
  const { upstream } = fixture;
  const digest = upstream.content.addManifest('team/app', manifest('only'), { tag: 'v1' });
  expect((await fixture.ask(0, 'manifests/v1')).status).toBe(200);
  await sleep(150);
  await upstream.stop();
  const stale = await fixture.ask(0, 'manifests/v1');
  expect(stale.headers['docker-content-digest']).toBe(digest);
  const unknown = await fixture.ask(0, 'manifests/v2');
  expect(unknown).toMatchObject({ status: 503, headers: { 'shoal-upstream': 'unreachable' } });
  const { text } = await metricsOf(fixture);
  expect(text).toMatch(/shoal_origin_tags_total\{outcome="stale"\} 1/u);
  await upstream.start();
  upstream.content.remove('team/app', 'v1');
  await until('it is gone', async () => (await fixture.ask(0, 'manifests/v1')).status === 404);
});

test('an upstream that goes away in the middle of a read is waited for, and read on from there', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { bytesPerSecond: 8 * MIB } });
  const { upstream } = fixture;
  const blob = deterministicBytes('outage', 8 * MIB);
  const digest = addBlob(upstream, blob);
  const agent = await fixture.member();
  const reading = readDigest(await fixture.join(agent, await fixture.describe(0, digest)));
  await until('a part is read', () => fixture.upstreamBytes(digest) > 3 * MIB);
  await upstream.stop();
  const before = fixture.upstreamBytes(digest);
  await sleep(1500);
  await upstream.start();
  expect(await reading).toBe(digest);
  expect(fixture.upstreamBytes(digest) - before).toBeLessThan(blob.length - 2 * MIB);
});

test('the same types in another order are one Accept', () => {
  expect(normalizeAccept('B/b, a/A;q=0.5')).toBe(normalizeAccept('a/a;q=0.5,b/b , a/a; q=0.5'));
  expect(normalizeAccept(undefined)).not.toBe(normalizeAccept('*/*'));
});

async function metricsOf(fixture: OriginFixture): Promise<{ text: string }> {
  const response = await fetch(`http://${fixture.origin(0).statusAddress}/metrics`);
  return { text: await response.text() };
}

test('what a registry does not have, and says no more of, is unknown by the name of its kind', async () => {
  const bare = createServer((_request, response) => response.writeHead(404).end());
  await once(bare.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void bare.close());
  const address = bare.address();
  const host = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const settings = { upstreams: { hosts: { [host]: { plainHttp: true } } } };
  await using fixture = await OriginFixture.start({ origins: 1, settings });
  const codeOf = async (what: string): Promise<unknown> => {
    const { status, headers, body } = await fixture.ask(0, what, { upstream: host });
    expect([status, headers['shoal-upstream']]).toEqual([404, 'refused']);
    return JSON.parse(body.toString()).errors[0].code;
  };
  expect(await codeOf(`blobs/${digestOf('none')}`)).toBe('BLOB_UNKNOWN');
  expect(await codeOf('manifests/none')).toBe('MANIFEST_UNKNOWN');
  expect(await codeOf('tags/list')).toBe('NAME_UNKNOWN');
});

test('small blobs and manifests keep to the limit of what is read from upstream', async () => {
  const settings = { bandwidth: { download: '512KiB/s' } };
  await using fixture = await OriginFixture.start({ origins: 1, settings });
  const blobs = Array.from({ length: 6 }, (_, n) =>
    addBlob(fixture.upstream, deterministicBytes(`small-${n}`, 200 * 1024)),
  );
  const large = fixture.upstream.content.addManifest('team/app', {
    ...manifest('large'),
    annotations: { name: 'x'.repeat(400 * 1024) },
  });
  const started = performance.now();
  const asked = [...blobs.map((digest) => `blobs/${digest}`), `manifests/${large}`];
  const told = await Promise.all(asked.map((what) => fixture.ask(0, what)));
  const seconds = (performance.now() - started) / 1000;
  expect(told.map(({ status }) => status)).toEqual(asked.map(() => 200));
  const bytes = told.reduce((sum, { body }) => sum + body.length, 0);
  expect(bytes).toBeLessThanOrEqual((seconds + 1) * 512 * 1024);
});

test('small content that many ask for is read once, also by an origin whose store is full', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, quota: '4MiB' });
  const { upstream } = fixture;
  const add = (name: string): string => addBlob(upstream, deterministicBytes(name, 250_000));
  for (let old = 0; old < 16; old++) await fixture.ask(0, `blobs/${add(`old ${old}`)}`);
  // What is on its way to the disk cannot give way.
  const full = /store_bytes\{kind="complete"\} 4000000/u;
  await until('the store is full', async () => full.test((await metricsOf(fixture)).text));
  const before = upstream.log.gets;
  const fresh = Array.from({ length: 8 }, (_, at) => add(`new ${at}`));
  const asked = fresh.flatMap((digest) =>
    Array.from({ length: 10 }, () => fixture.ask(0, `blobs/${digest}`)),
  );
  expect(new Set((await Promise.all(asked)).map(({ status }) => status))).toEqual(new Set([200]));
  expect(upstream.log.gets - before).toBe(fresh.length);
});

import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';
import { startAgentFixture } from './agent-fixture.ts';

const MIB = 1024 * 1024;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const REPOSITORY = 'team/app';

test('a small blob, a large blob and a manifest come through an agent that has nobody but the registry', async () => {
  await using upstream = await UpstreamRegistry.start();
  const small = deterministicBytes('small', 1000);
  const large = deterministicBytes('large', 3 * MIB + 17);
  const smallDigest = upstream.content.addBlob(REPOSITORY, small);
  const largeDigest = upstream.content.addBlob(REPOSITORY, large);
  const manifest = { schemaVersion: 2, mediaType: MANIFEST, config: {}, layers: [] };
  const manifestDigest = upstream.content.addManifest(REPOSITORY, manifest, { tag: 'v1' });
  await using agent = await startAgentFixture({ registries: [upstream] });

  const tagged = await agent.get(upstream, `${REPOSITORY}/manifests/v1`);
  expect(tagged).toMatchObject({ status: 200, complete: true });
  expect(tagged.headers).toMatchObject({
    'content-type': MANIFEST,
    'docker-content-digest': manifestDigest,
    'docker-distribution-api-version': 'registry/2.0',
    'content-length': String(tagged.bytes),
  });
  const smallPull = await agent.get(upstream, `${REPOSITORY}/blobs/${smallDigest}`);
  expect(smallPull).toMatchObject({ status: 200, sha256: sha256Hex(small), complete: true });
  const pulled = await agent.get(upstream, `${REPOSITORY}/blobs/${largeDigest}`);
  expect(pulled).toMatchObject({
    status: 200,
    sha256: sha256Hex(large),
    bytes: large.length,
    complete: true,
  });
  expect(pulled.headers).toMatchObject({
    'docker-content-digest': largeDigest,
    'accept-ranges': 'bytes',
    'content-type': 'application/octet-stream',
    'content-length': String(large.length),
  });
  expect(upstream.log.bodyBytesByDigest().get(largeDigest)).toBe(large.length);

  await agent.stored(3);
  upstream.log.clear();
  const again = await agent.get(upstream, `${REPOSITORY}/blobs/${largeDigest}`);
  expect(again).toMatchObject({ status: 200, sha256: sha256Hex(large) });
  expect(await agent.get(upstream, `${REPOSITORY}/manifests/${manifestDigest}`)).toMatchObject({
    status: 200,
  });
  expect(upstream.log.entries).toEqual([]);

  const sources = await pullBlob(`http://${agent.agent.address}/shoal/v1/sources/${largeDigest}`);
  const { length } = large;
  expect(JSON.parse(sources.head.toString())).toEqual({
    cache: length,
    peer: 0,
    origin: 0,
    upstream: length,
  });
  expect(
    await agent.metric('runtime_bytes_total', { source: 'cache', registry: upstream.host }),
  ).toBeGreaterThan(length);
  const line = agent.log.find((entry) => entry['msg'] === 'pull' && entry['digest'] === largeDigest);
  expect(line).toMatchObject({
    registry: upstream.host,
    repository: REPOSITORY,
    outcome: 'complete',
    bytes: { cache: 0, peer: 0, origin: 0, upstream: length },
  });
});

test('an empty blob is served as what it is', async () => {
  await using upstream = await UpstreamRegistry.start();
  const digest = upstream.content.addBlob(REPOSITORY, Buffer.alloc(0));
  await using agent = await startAgentFixture({ registries: [upstream] });
  const pulled = await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`);
  expect(pulled).toMatchObject({ status: 200, bytes: 0, complete: true });
  expect(pulled.headers['content-length']).toBe('0');
});

describe('ranges', () => {
  const blob = deterministicBytes('ranges', MIB + 5);

  async function start() {
    await using starting = new AsyncDisposableStack();
    const upstream = starting.use(await UpstreamRegistry.start());
    const digest = upstream.content.addBlob(REPOSITORY, blob);
    const agent = starting.use(await startAgentFixture({ registries: [upstream] }));
    const all = starting.move();
    return {
      agent,
      get: (range: string) => agent.get(upstream, `${REPOSITORY}/blobs/${digest}`, { range }),
      upstream,
      digest,
      [Symbol.asyncDispose]: () => all.disposeAsync(),
    };
  }

  test('each range is what it would be of the whole, cold and cached', async () => {
    await using door = await start();
    for (const round of ['cold', 'cached']) {
      const cases: [string, number, number][] = [
        ['bytes=0-0', 0, 1],
        ['bytes=262100-262200', 262_100, 262_201],
        ['bytes=-7', blob.length - 7, blob.length],
        ['bytes=1048570-9999999', 1_048_570, blob.length],
        ['bytes=5-', 5, blob.length],
      ];
      for (const [range, start_, end] of cases) {
        const pulled = await door.get(range);
        expect(pulled, `${round} ${range}`).toMatchObject({
          status: 206,
          sha256: sha256Hex(blob.subarray(start_, end)),
          complete: true,
        });
        expect(pulled.headers['content-range']).toBe(`bytes ${start_}-${end - 1}/${blob.length}`);
        expect(pulled.headers['content-length']).toBe(String(end - start_));
      }
      await door.agent.stored(1);
    }
  });

  test('a range beyond the end is 416 and tells the size', async () => {
    await using door = await start();
    const pulled = await door.get(`bytes=${blob.length}-`);
    expect(pulled.status).toBe(416);
    expect(pulled.headers['content-range']).toBe(`bytes */${blob.length}`);
    expect(JSON.parse(pulled.head.toString()).errors[0].code).toBe('RANGE_INVALID');
  });

  test('several ranges or nonsense give the whole', async () => {
    await using door = await start();
    for (const range of ['bytes=0-1,4-5', 'lines=1-2', 'bytes=9-3'])
      expect(await door.get(range)).toMatchObject({ status: 200, bytes: blob.length });
  });

  test('parallel fetch, whose clients leave after a chunk, gets all bytes, crosses the link once and is no warning', async () => {
    await using door = await start();
    const { agent, upstream, digest } = door;
    const chunk = 300_000;
    const starts = [0, chunk, 2 * chunk, 3 * chunk];
    const parts = await Promise.all(
      starts.map((from) =>
        agent.get(upstream, `${REPOSITORY}/blobs/${digest}`, {
          range: `bytes=${from}-`,
          hangUpAfter: Math.min(chunk, blob.length - from),
        }),
      ),
    );
    for (const part of parts) expect(part.status).toBe(206);
    const whole = await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`);
    expect(whole).toMatchObject({ sha256: sha256Hex(blob), complete: true });
    expect(upstream.log.bodyBytesByDigest().get(digest)).toBeLessThanOrEqual(1.01 * blob.length);
    const levels = agent.log.map((line) => line['level']);
    expect(levels).not.toContain('warn');
    expect(levels).not.toContain('error');
  });
});

describe('HEAD', () => {
  test('of a blob and a manifest tells size and digest and moves no content', async () => {
    await using upstream = await UpstreamRegistry.start();
    const digest = upstream.content.addBlob(REPOSITORY, deterministicBytes('head', 5 * MIB));
    const manifestDigest = upstream.content.addManifest(REPOSITORY, { schemaVersion: 2 }, { tag: 'v1' });
    await using agent = await startAgentFixture({ registries: [upstream] });
    const blob = await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`, { method: 'HEAD' });
    expect(blob).toMatchObject({ status: 200, bytes: 0 });
    expect(blob.headers).toMatchObject({
      'content-length': String(5 * MIB),
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
    });
    const manifest = await agent.get(upstream, `${REPOSITORY}/manifests/v1`, { method: 'HEAD' });
    expect(manifest.headers).toMatchObject({
      'docker-content-digest': manifestDigest,
      'content-type': MANIFEST,
    });
    expect(upstream.log.bodyBytes).toBe(0);
    const absent = `sha256:${'0'.repeat(64)}`;
    expect(await agent.get(upstream, `${REPOSITORY}/blobs/${absent}`, { method: 'HEAD' })).toMatchObject({
      status: 404,
    });
  });
});

describe('what the door does not do', () => {
  test('it answers errors in the OCI format for what it has not', async () => {
    await using agent = await startAgentFixture({ registries: [] });
    const door = `http://${agent.agent.address}`;
    for (const [path, status, code] of [
      ['/v2/_catalog', 404, 'UNSUPPORTED'],
      ['/v1/search', 404, 'UNSUPPORTED'],
      ['/v2/UPPER/blobs/x', 400, 'NAME_INVALID'],
      ['/shoal/v1/sources/latest', 400, 'DIGEST_INVALID'],
    ] as const) {
      const answer = await pullBlob(`${door}${path}`);
      expect({ path, status: answer.status }).toEqual({ path, status });
      expect(JSON.parse(answer.head.toString()).errors[0].code).toBe(code);
    }
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('%s is refused with 405', async (method) => {
    await using agent = await startAgentFixture({ registries: [] });
    const outgoing = httpRequest(`http://${agent.agent.address}/v2/app/blobs/uploads/`, {
      method,
      headers: { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
    });
    outgoing.end(method === 'DELETE' ? undefined : '{}');
    const [response] = await once(outgoing, 'response');
    expect(response.statusCode).toBe(405);
    expect(response.headers.allow).toBe('GET, HEAD');
    const chunks = await response.toArray();
    expect(JSON.parse(Buffer.concat(chunks).toString()).errors[0].code).toBe('UNSUPPORTED');
  });

  test('registries that the operator does not admit, and the door itself, are refused', async () => {
    await using upstream = await UpstreamRegistry.start();
    const digest = upstream.content.addBlob(REPOSITORY, deterministicBytes('denied', 10));
    await using agent = await startAgentFixture({
      registries: [upstream],
      upstreams: { allow: ['*.example.com', '127.0.0.1', 'localhost'], deny: ['secret.example.com'] },
    });
    const status = async (ns: string) => {
      const answer = await pullBlob(
        `http://${agent.agent.address}/v2/${REPOSITORY}/blobs/${digest}?ns=${ns}`,
      );
      return [answer.status, JSON.parse(answer.head.toString()).errors[0].code];
    };
    expect(await status('ghcr.io')).toEqual([403, 'DENIED']);
    expect(await status('secret.example.com')).toEqual([403, 'DENIED']);
    const port = agent.agent.address.split(':')[1];
    for (const host of ['127.0.0.1', 'localhost', '127.0.0.2'])
      expect([host, ...(await status(`${host}:${port}`))]).toEqual([host, 403, 'DENIED']);
    expect(await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`)).toMatchObject({ status: 200 });
  });
});

describe('tags and referrers are passed through', () => {
  test('with their pages leading back through the door', async () => {
    await using upstream = await UpstreamRegistry.start();
    const digest = upstream.content.addManifest(REPOSITORY, { schemaVersion: 2 }, { tag: 'a' });
    upstream.content.setTag(REPOSITORY, 'b', digest);
    upstream.content.addManifest(REPOSITORY, { schemaVersion: 2, subject: { digest } });
    await using agent = await startAgentFixture({ registries: [upstream] });
    const first = await pullBlob(
      `http://${agent.agent.address}/v2/${REPOSITORY}/tags/list?n=1&ns=${upstream.host}`,
    );
    expect(JSON.parse(first.head.toString())).toEqual({ name: REPOSITORY, tags: ['a'] });
    const next = /<(?<target>[^>]+)>; rel="next"/u.exec(String(first.headers['link']))?.groups?.['target'];
    const second = await pullBlob(`http://${agent.agent.address}${next}`);
    expect(JSON.parse(second.head.toString())).toEqual({ name: REPOSITORY, tags: ['b'] });
    const referrers = await agent.get(upstream, `${REPOSITORY}/referrers/${digest}`);
    expect(referrers.headers['content-type']).toContain('application/vnd.oci.image.index.v1+json');
    expect(JSON.parse(referrers.head.toString()).manifests).toHaveLength(1);
  });

  test('under the caller’s own rights', async () => {
    const user = { name: 'ann', password: 'pw', repositories: [REPOSITORY] };
    await using upstream = await UpstreamRegistry.start({ auth: { kind: 'basic', users: [user] } });
    upstream.content.addManifest(REPOSITORY, { schemaVersion: 2 }, { tag: 'a' });
    await using agent = await startAgentFixture({ registries: [upstream] });
    const list = (authorization?: string) =>
      agent.get(upstream, `${REPOSITORY}/tags/list`, { authorization });
    const refused = await list();
    expect(refused).toMatchObject({ status: 401 });
    expect(refused.headers['www-authenticate']).toBe('Basic realm="Upstream"');
    const authorization = `Basic ${Buffer.from('ann:pw').toString('base64')}`;
    expect(await list(authorization)).toMatchObject({ status: 200 });
  });
});

test('a client that reads slowly is not sent faster than it reads', async () => {
  await using upstream = await UpstreamRegistry.start();
  const blob = deterministicBytes('slow', 40 * MIB);
  const digest = upstream.content.addBlob(REPOSITORY, blob);
  await using agent = await startAgentFixture({ registries: [upstream] });
  await agent.get(upstream, `${REPOSITORY}/blobs/${digest}`);
  await agent.stored(1);
  const [host, port] = agent.agent.address.split(':');
  const socket = connect({ host: host!, port: Number(port) });
  socket.write(`GET /v2/${REPOSITORY}/blobs/${digest}?ns=${upstream.host} HTTP/1.1\r\nhost: x\r\n\r\n`);
  await once(socket, 'readable');
  const sources = async (): Promise<number> => {
    const { head } = await pullBlob(`http://${agent.agent.address}/shoal/v1/sources/${digest}`);
    return JSON.parse(head.toString()).cache;
  };
  let before = -1;
  for (let now = await sources(); now !== before; now = await sources()) {
    before = now;
    await sleep(100);
  }
  // What the kernel's buffers on both ends take, and two chunks of ours.
  expect(before).toBeLessThan(20 * MIB);
  socket.destroy();
});

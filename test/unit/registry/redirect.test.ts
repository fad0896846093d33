import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { readBody } from '#registry/response-body.ts';
import type { Authorization, Target } from '#registry/upstream-answer.ts';
import type { Upstream } from '#registry/upstream.ts';
import { AUTHORITY, type Loopback, patience, serve, upstreamFor } from './loopback.ts';

const BLOB = Buffer.from('the bytes of a blob');
const AUTH: Authorization = { kind: 'forward', authorization: 'Bearer caller' };
const blobAt = ({ host }: Loopback): Target => ({
  registry: host,
  repository: 'org/app',
  kind: 'blob',
  reference: digestOf(BLOB),
});

describe('a redirect', () => {
  test('to a blob store is followed without the credential', async () => {
    const store = await serve((_, response) => response.end(BLOB));
    const registry = await serve((_, response) => {
      response.writeHead(307, {
        location: `http://${store.host}/bucket/x?X-Amz-Signature=s`,
        'docker-content-digest': digestOf(BLOB),
      });
      response.end();
    });
    const result = await upstreamFor({ plain: [registry, store] }).get(blobAt(registry), AUTH, patience());
    expect(result.ok && (await readBody(result.body, 100))).toEqual(BLOB);
    expect(result).toMatchObject({ digest: digestOf(BLOB) });
    expect(registry.requests[0]?.headers.authorization).toBe('Bearer caller');
    expect(store.requests[0]).toMatchObject({ url: '/bucket/x?X-Amz-Signature=s' });
    expect(store.requests[0]?.headers.authorization).toBeUndefined();
  });

  test('within one origin keeps the credential and the Range', async () => {
    const server = await serve((_, response, count) => {
      if (count === 1) response.writeHead(302, { location: '/elsewhere' }).end();
      else response.writeHead(206, { 'content-range': `bytes 4-8/${BLOB.length}` }).end(BLOB.subarray(4, 9));
    });
    const upstream = upstreamFor({ plain: [server] });
    const result = await upstream.get(blobAt(server), AUTH, patience(), { range: 'bytes=4-8' });
    expect(result).toMatchObject({ status: 206, size: BLOB.length, range: { start: 4, end: 8 } });
    expect(server.requests[1]).toMatchObject({
      url: '/elsewhere',
      headers: { authorization: 'Bearer caller', range: 'bytes=4-8' },
    });
  });

  test('that comes back from another origin does not bring the credential back', async () => {
    const registry: Loopback = await serve((request, response) => {
      const { host } = away;
      if (request.url === '/back') response.end(BLOB);
      else response.writeHead(307, { location: `http://${host}/` }).end();
    });
    const away = await serve((_, response) => {
      response.writeHead(307, { location: `http://${registry.host}/back` }).end();
    });
    const result = await upstreamFor({ plain: [registry, away] }).get(blobAt(registry), AUTH, patience());
    expect(result.ok && (await readBody(result.body, 100))).toEqual(BLOB);
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer caller',
      undefined,
    ]);
  });

  test('to plain HTTP is refused where that host is not named, and the signature stays out of the error', async () => {
    const store = await serve((_, response) => response.end(BLOB));
    const registry = await serve(
      (_, response) => response.writeHead(307, { location: `http://${store.host}/x?sig=hunter2` }).end(),
      { tls: true },
    );
    const upstream = upstreamFor({ hosts: { [registry.host]: { ca: AUTHORITY } } });
    const result = await upstream.get(blobAt(registry), AUTH, patience());
    expect(result).toMatchObject({
      kind: 'unreachable',
      cause: { message: expect.stringContaining('plain HTTP') },
    });
    expect(inspect(result, { depth: 9 })).not.toContain('hunter2');
    expect(store.requests).toHaveLength(0);
  });

  test.each(['ftp://127.0.0.1/x', 'file:///etc/passwd', 'http://', '//:0'])(
    'to %s is refused',
    async (location) => {
      const registry = await serve((_, response) => response.writeHead(302, { location }).end());
      const result = await upstreamFor({ plain: [registry] }).get(blobAt(registry), AUTH, patience());
      expect(result).toMatchObject({
        ok: false,
        kind: 'unreachable',
        cause: { name: 'UpstreamProtocolError' },
      });
    },
  );

  test('without end is given up', async () => {
    const registry = await serve((_, response) => response.writeHead(302, { location: '/again' }).end());
    const result = await upstreamFor({ plain: [registry] }).get(blobAt(registry), AUTH, patience());
    expect(result).toMatchObject({ cause: { message: expect.stringContaining('more than 5 redirects') } });
    expect(registry.requests).toHaveLength(6);
  });

  test('to a store that refuses does not relay the store’s challenge', async () => {
    const store = await serve((_, response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    const registry = await serve((_, response) =>
      response.writeHead(307, { location: `http://${store.host}/` }).end(),
    );
    const result = await upstreamFor({ plain: [registry, store] }).get(blobAt(registry), AUTH, patience());
    expect(result).toMatchObject({ kind: 'refused', status: 401, redirected: true, challenges: [] });
  });
});

async function signedForGet(blob: Buffer): Promise<{ registry: Loopback; upstream: Upstream }> {
  const store = await serve((request, response) => {
    if (request.method === 'HEAD') response.writeHead(403).end();
    else if (blob.length === 0) response.writeHead(416, { 'content-range': 'bytes */0' }).end();
    else response.writeHead(206, { 'content-range': `bytes 0-0/${blob.length}` }).end(blob.subarray(0, 1));
  });
  const registry = await serve((_, response) =>
    response.writeHead(307, { location: `http://${store.host}/` }).end(),
  );
  return { registry, upstream: upstreamFor({ plain: [registry, store] }) };
}

describe('HEAD of a blob whose store signs GET only', () => {
  test.each([BLOB, Buffer.alloc(0)])('is answered by its first byte (%#)', async (blob) => {
    const { registry, upstream } = await signedForGet(blob);
    const result = await upstream.head(blobAt(registry), AUTH, patience());
    expect(result).toMatchObject({ ok: true, status: 200, size: blob.length });
  });
});

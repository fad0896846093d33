import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { MANIFEST_ACCEPT, OCI_MANIFEST } from '#registry/media-types.ts';
import { readBody } from '#registry/response-body.ts';
import type { Authorization, Target } from '#registry/upstream-answer.ts';
import { UpstreamProtocolError, UpstreamUnreachableError } from '#registry/upstream-error.ts';
import { type Loopback, patience, serve, stop, upstreamFor } from './loopback.ts';

const BLOB = Buffer.from('the bytes of a blob');
const DIGEST = digestOf(BLOB);
const ANYONE: Authorization = { kind: 'forward' };

const blobAt = ({ host }: Loopback): Target => ({
  registry: host,
  repository: 'org/app',
  kind: 'blob',
  reference: DIGEST,
});
const manifestAt = (server: Loopback): Target => ({ ...blobAt(server), kind: 'manifest', reference: 'v1' });

describe('a manifest', () => {
  test('comes with its headers, asked for in all types and without encoding', async () => {
    const server = await serve((_, response) => {
      response.setHeader('content-type', OCI_MANIFEST);
      response.setHeader('docker-content-digest', DIGEST);
      response.setHeader('etag', '"e"');
      response.end(BLOB);
    });
    const upstream = upstreamFor({ plain: [server] });
    const result = await upstream.get(manifestAt(server), ANYONE, patience());
    expect(result).toMatchObject({
      ok: true,
      status: 200,
      mediaType: OCI_MANIFEST,
      digest: DIGEST,
      etag: '"e"',
    });
    expect(result.ok && (await readBody(result.body, 100))).toEqual(BLOB);
    const [request] = server.requests;
    expect(request?.url).toBe('/v2/org/app/manifests/v1');
    expect(request?.headers).toMatchObject({ accept: MANIFEST_ACCEPT, 'accept-encoding': 'identity' });
    expect(request?.headers.authorization).toBeUndefined();
  });

  test('is asked for by HEAD with the Accept that is given', async () => {
    const server = await serve((_, response) => {
      response.setHeader('content-length', 1234);
      response.end();
    });
    const upstream = upstreamFor({ plain: [server] });
    const result = await upstream.head(manifestAt(server), ANYONE, patience(), { accept: OCI_MANIFEST });
    expect(result).toMatchObject({ ok: true, size: 1234 });
    expect(server.requests[0]).toMatchObject({ method: 'HEAD', headers: { accept: OCI_MANIFEST } });
  });

  test.each([
    { repository: '../../etc' },
    { repository: 'a/../b' },
    { registry: 'evil.example/path' },
    { reference: '../tags/list' },
    { reference: 'sha256:12' },
    { kind: 'blob' as const, reference: 'latest' },
  ])('with %j is never asked for', async (part) => {
    const server = await serve((_, response) => response.end());
    const upstream = upstreamFor({ plain: [server] });
    await expect(upstream.get({ ...manifestAt(server), ...part }, ANYONE, patience())).rejects.toThrow(
      /is not a/u,
    );
    expect(server.requests).toHaveLength(0);
  });
});

describe('the caller’s own Authorization', () => {
  test('is put as it is, and a refusal comes back as it is', async () => {
    const challenges = ['Bearer realm="https://auth.example/token",service="s"', 'Basic realm="r"'];
    const server = await serve((_, response) => {
      response.writeHead(401, { 'www-authenticate': challenges });
      response.end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'who are you?' }] }));
    });
    const upstream = upstreamFor({ plain: [server] });
    const auth: Authorization = { kind: 'forward', authorization: 'Bearer caller' };
    const result = await upstream.head(blobAt(server), auth, patience());
    expect(result).toMatchObject({ ok: false, kind: 'refused', status: 401, redirected: false, challenges });
    const got = await upstream.get(blobAt(server), auth, patience());
    expect(got).toMatchObject({
      ok: false,
      status: 401,
      errors: [{ code: 'UNAUTHORIZED', message: 'who are you?' }],
    });
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer caller',
      'Bearer caller',
    ]);
  });

  test.each([403, 404, 416])('is not tried again after %i', async (status) => {
    const server = await serve((_, response) => response.writeHead(status).end());
    const upstream = upstreamFor({ plain: [server] });
    expect(await upstream.get(blobAt(server), ANYONE, patience())).toMatchObject({ kind: 'refused', status });
    expect(server.requests).toHaveLength(1);
  });

  test('an endless refusal is read to its cap', async () => {
    const server = await serve((_, response) => {
      response.writeHead(403);
      const write = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384, 'x')));
      };
      response.on('drain', write);
      write();
    });
    const result = await upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, patience());
    expect(result).toMatchObject({ kind: 'refused', status: 403 });
    expect('body' in result && Buffer.isBuffer(result.body) && result.body.length).toBe(64 * 1024);
  });
});

describe('an upstream that fails for a while', () => {
  test.each([408, 429, 500, 502, 503, 504])('with %i is asked again', async (status) => {
    const server = await serve((_, response, count) => {
      response.writeHead(count < 3 ? status : 200);
      response.end(count < 3 ? 'busy' : BLOB);
    });
    const result = await upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, patience());
    expect(result.ok && (await readBody(result.body, 100))).toEqual(BLOB);
    expect(server.requests).toHaveLength(3);
  });

  test('is unreachable after the last attempt, with its status', async () => {
    const server = await serve((_, response) => response.writeHead(503).end());
    const result = await upstreamFor({ plain: [server], attempts: 2 }).get(
      blobAt(server),
      ANYONE,
      patience(),
    );
    expect(result).toMatchObject({ ok: false, kind: 'unreachable', status: 503 });
    expect(server.requests).toHaveLength(2);
  });

  test('is left alone for as long as it asks; too long is told to the caller at once', async () => {
    const server = await serve((_, response) => response.writeHead(429, { 'retry-after': '3600' }).end());
    const result = await upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, patience());
    expect(result).toMatchObject({ kind: 'unreachable', status: 429, retryAfterSeconds: 3600 });
    expect(server.requests).toHaveLength(1);
  });

  test('by cutting the connection is asked again', async () => {
    const server = await serve((request, response, count) => {
      if (count === 1) request.socket.destroy();
      else response.end(BLOB);
    });
    const result = await upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, patience());
    expect(result.ok && (await readBody(result.body, 100))).toEqual(BLOB);
  });

  test('by being gone is unreachable, and the error has the host and nothing secret', async () => {
    const server = await serve((_, response) => response.end());
    const upstream = upstreamFor({ plain: [server] });
    await stop(server.server);
    const auth: Authorization = { kind: 'forward', authorization: 'Bearer hunter2hunter2' };
    const result = await upstream.get(blobAt(server), auth, patience());
    expect(result).toMatchObject({ kind: 'unreachable', cause: { temporary: true } });
    const cause = 'cause' in result ? result.cause : undefined;
    expect(cause).toBeInstanceOf(UpstreamUnreachableError);
    expect(String(cause)).toContain(server.host);
    expect(String(cause)).not.toContain('hunter2');
  });

  test('by never answering is given up after the time-out', async () => {
    const server = await serve(() => undefined);
    const upstream = upstreamFor({ plain: [server], headersTimeoutMs: 50, attempts: 1 });
    expect(await upstream.get(blobAt(server), ANYONE, patience())).toMatchObject({
      kind: 'unreachable',
      cause: { message: expect.stringContaining('Timeout') },
    });
  });

  test('by stopping in the middle of a body fails the body after the idle time', async () => {
    const server = await serve((_, response) => {
      response.setHeader('content-length', 100);
      response.write('some');
    });
    const upstream = upstreamFor({ plain: [server], bodyIdleTimeoutMs: 50 });
    const result = await upstream.get(blobAt(server), ANYONE, patience());
    await expect(result.ok && readBody(result.body, 1000)).rejects.toBeInstanceOf(UpstreamUnreachableError);
  });
});

describe('a caller who leaves', () => {
  test('before the headers gets its own reason at once, and the upstream sees the request end', async () => {
    const arrived = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const server = await serve((_, response) => {
      response.on('close', closed.resolve);
      arrived.resolve();
    });
    const leave = new AbortController();
    const asked = upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, leave.signal);
    await arrived.promise;
    leave.abort(new Error('gone for lunch'));
    await expect(asked).rejects.toThrow('gone for lunch');
    await closed.promise;
    expect(server.requests).toHaveLength(1);
  });

  test('in the body gets its own reason there', async () => {
    const server = await serve((_, response) => {
      response.setHeader('content-length', 100);
      response.write('some');
    });
    const leave = new AbortController();
    const result = await upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, leave.signal);
    const read = result.ok && readBody(result.body, 1000);
    leave.abort(new Error('gone for lunch'));
    await expect(read).rejects.toThrow('gone for lunch');
  });

  test('between two attempts is not kept waiting', async () => {
    const server = await serve((_, response) => response.writeHead(503, { 'retry-after': '9' }).end());
    const leave = new AbortController();
    const asked = upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, leave.signal);
    const abort = (async () => {
      while (server.requests.length === 0) await delay(5);
      leave.abort(new Error('gone for lunch'));
    })();
    await expect(asked).rejects.toThrow('gone for lunch');
    await abort;
  });
});

describe('an answer that breaks the rules', () => {
  test.each([
    ['an encoding nobody asked for', 200, { 'content-encoding': 'gzip' }, 'encoded'],
    ['206 without a Content-Range', 206, {}, 'without a Content-Range'],
    ['206 with a broken Content-Range', 206, { 'content-range': 'bytes 5-2/9' }, 'contradicts'],
    ['304 to a plain GET', 304, {}, 'answered 304'],
    ['204', 204, {}, 'answered 204'],
  ])('%s is an error and no outage', async (_, status, headers, told) => {
    const server = await serve((__, response) => response.writeHead(status, headers).end());
    const result = await upstreamFor({ plain: [server] }).get(blobAt(server), ANYONE, patience());
    expect(result).toMatchObject({
      ok: false,
      kind: 'unreachable',
      cause: { message: expect.stringContaining(told) },
    });
    expect('cause' in result && result.cause).toBeInstanceOf(UpstreamProtocolError);
    expect(server.requests).toHaveLength(1);
  });
});

describe('tags and referrers', () => {
  test('pass through with query and Link', async () => {
    const server = await serve((_, response) => {
      response.setHeader('link', '</v2/org/app/tags/list?last=b&n=2>; rel="next"');
      response.setHeader('content-type', 'application/json');
      response.end('{"tags":["a","b"]}');
    });
    const upstream = upstreamFor({ plain: [server] });
    const name = { registry: server.host, repository: 'org/app' };
    const result = await upstream.tags(name, ANYONE, patience(), 'n=2&last=%2F');
    expect(result).toMatchObject({ ok: true, link: '</v2/org/app/tags/list?last=b&n=2>; rel="next"' });
    expect(String(result.ok && result.body)).toBe('{"tags":["a","b"]}');
    await upstream.referrers(name, DIGEST, ANYONE, patience(), 'artifactType=a/b');
    expect(server.requests.map(({ url }) => url)).toEqual([
      '/v2/org/app/tags/list?n=2&last=%2F',
      `/v2/org/app/referrers/${DIGEST}?artifactType=a%2Fb`,
    ]);
  });

  test('are not taken beyond their cap', async () => {
    const server = await serve((_, response) => response.end('x'.repeat(101)));
    const upstream = upstreamFor({ plain: [server], listBodyLimit: 100 });
    const result = await upstream.tags({ registry: server.host, repository: 'org/app' }, ANYONE, patience());
    expect(result).toMatchObject({ ok: false, cause: { message: expect.stringContaining('100 bytes') } });
  });
});

test('each request is reported with its purpose and status', async () => {
  const seen: unknown[] = [];
  const server = await serve((_, response, count) => response.writeHead(count === 1 ? 503 : 200).end());
  const upstream = upstreamFor({ plain: [server], onExchange: (event) => seen.push(event) });
  await upstream.head(blobAt(server), ANYONE, patience());
  expect(seen).toEqual([
    { purpose: 'blob', method: 'HEAD', status: 503 },
    { purpose: 'blob', method: 'HEAD', status: 200 },
  ]);
});

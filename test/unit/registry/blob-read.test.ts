import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import type { BlobReadOptions, ResumeEvent } from '#registry/blob-read.ts';
import { digestHash, digestOf, finishDigest } from '#registry/digest.ts';
import { formatContentRange, parseRange } from '#registry/range.ts';
import type { Authorization, Target } from '#registry/upstream-answer.ts';
import {
  UpstreamProtocolError,
  UpstreamRefusedError,
  UpstreamUnreachableError,
} from '#registry/upstream-error.ts';
import { type Loopback, patience, serve, stop, type UpstreamSetting, upstreamFor } from './loopback.ts';

const BLOB = randomBytes(1_000_000);
const DIGEST = digestOf(BLOB);
const ANYONE: Authorization = { kind: 'forward' };

interface Reading extends BlobReadOptions {
  readonly auth?: Authorization;
  readonly setting?: UpstreamSetting;
}

function openRead(server: Loopback, { auth = ANYONE, setting = {}, ...options }: Reading = {}) {
  const target: Omit<Target, 'kind'> = { registry: server.host, repository: 'org/app', reference: DIGEST };
  return upstreamFor({ plain: [server], ...setting }).readBlob(target, auth, patience(), options);
}

/** The digest of what was read, so that a failure does not print a megabyte. */
async function readAll(server: Loopback, reading: Reading = {}): Promise<string> {
  const hash = digestHash(DIGEST);
  for await (const chunk of openRead(server, reading)) hash.update(chunk);
  return finishDigest('sha256', hash);
}

interface Delivery {
  /** Cut the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  readonly ignoreRange?: boolean;
  readonly contentRange?: string;
  /** Send no Content-Length: chunked. */
  readonly unsized?: boolean;
  readonly surplus?: number;
  /** Give no more than so many bytes of the range. */
  readonly most?: number;
}

/** Delivers the blob as a registry does, or as badly as told. */
function deliver(request: IncomingMessage, response: ServerResponse, delivery: Delivery = {}): void {
  const asked = delivery.ignoreRange === true ? 'whole' : parseRange(request.headers.range, BLOB.length);
  if (asked === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${BLOB.length}` }).end();
    return;
  }
  const start = asked === 'whole' ? 0 : asked.start;
  const wanted = asked === 'whole' ? BLOB.length - 1 : asked.end;
  const end = Math.min(wanted, start + (delivery.most ?? Infinity) - 1);
  const body = Buffer.concat([BLOB.subarray(start, end + 1), Buffer.alloc(delivery.surplus ?? 0)]);
  if (delivery.unsized !== true && request.method !== 'HEAD')
    response.setHeader('content-length', body.length);
  if (delivery.unsized !== true && request.method === 'HEAD')
    response.setHeader('content-length', BLOB.length);
  if (asked !== 'whole') {
    const range = formatContentRange({ kind: 'range', start, end, size: BLOB.length });
    response.writeHead(206, { 'content-range': delivery.contentRange ?? range });
  }
  // Without this, Node sends the length of a body that it has whole.
  if (delivery.unsized === true) response.flushHeaders();
  if (delivery.cutAfter === undefined || delivery.cutAfter >= body.length) response.end(body);
  else response.write(body.subarray(0, delivery.cutAfter), () => response.destroy());
}

describe('a blob', () => {
  test('is told its size before its bytes, and comes whole', async () => {
    const server = await serve((request, response) => deliver(request, response));
    const read = openRead(server);
    const { size, body } = await read.open();
    expect(size).toBe(BLOB.length);
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(BLOB)).toBe(true);
    expect(server.requests[0]?.headers.range).toBeUndefined();
  });

  test.each([
    [0, 0],
    [1, 499_999],
    [999_999, 999_999],
    [500_000, 5_000_000],
  ])('comes from byte %i to %i, whether the upstream heeds Range or not', async (start, end) => {
    const wanted = BLOB.subarray(start, end + 1);
    for (const ignoreRange of [false, true]) {
      const server = await serve((request, response) => deliver(request, response, { ignoreRange }));
      expect(await readAll(server, { start, end })).toBe(digestOf(wanted));
    }
  });

  test('that is empty is read as such', async () => {
    const server = await serve((_, response) => response.end());
    expect(await readAll(server)).toBe(digestOf(''));
  });

  test.each([false, true])('refuses a start behind its end, Range ignored: %s', async (ignoreRange) => {
    const server = await serve((request, response) => deliver(request, response, { ignoreRange }));
    await expect(readAll(server, { start: BLOB.length })).rejects.toMatchObject({ status: 416 });
  });

  test('without a length of its own is asked for it by HEAD', async () => {
    const server = await serve((request, response) => {
      deliver(request, response, { unsized: request.method === 'GET' });
    });
    expect(await readAll(server)).toBe(DIGEST);
    expect(server.requests.map(({ method }) => method)).toEqual(['GET', 'HEAD']);
  });

  test('whose size nobody tells is refused', async () => {
    const server = await serve((request, response) => deliver(request, response, { unsized: true }));
    await expect(readAll(server)).rejects.toThrow('the size is told neither');
  });

  test('with more bytes than announced is refused', async () => {
    const server = await serve((request, response) => {
      deliver(request, response, request.method === 'GET' ? { unsized: true, surplus: 1 } : {});
    });
    await expect(readAll(server)).rejects.toThrow('more bytes than were announced');
  });

  test('is not read ahead without bound while its reader pauses', async () => {
    let sent = 0;
    const size = 64 * 1024 * 1024;
    const piece = Buffer.alloc(64 * 1024);
    const server = await serve((_, response) => {
      response.writeHead(200, { 'content-length': size });
      const write = (): void => {
        while (sent < size) {
          sent += piece.length;
          if (!response.write(piece)) return;
        }
        response.end();
      };
      response.on('drain', write);
      write();
    });
    const read = openRead(server, { setting: { bodyBufferBytes: 128 * 1024 } });
    await read.open();
    let before = -1;
    // Still once nothing more was sent for a while: the socket's own buffers are full.
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(sent).toBeLessThan(size / 2);
    let got = 0;
    for await (const chunk of read) got += chunk.length;
    expect(got).toBe(size);
  });

  test('that its reader leaves is let go of', async () => {
    const closed = Promise.withResolvers<void>();
    const server = await serve((_, response) => {
      response.on('close', closed.resolve);
      response.writeHead(200, { 'content-length': BLOB.length }).write(BLOB.subarray(0, 10));
    });
    for await (const chunk of openRead(server)) {
      expect(chunk).toHaveLength(10);
      break;
    }
    await closed.promise;
  });
});

describe('a body that breaks', () => {
  test.each([false, true])(
    'goes on from the byte where it stands, Range ignored: %s',
    async (ignoreRange) => {
      const resumes: ResumeEvent[] = [];
      const server = await serve((request, response, count) => {
        deliver(request, response, {
          ignoreRange,
          ...(count < 4 && { cutAfter: 200_000 + count * 100_000 }),
        });
      });
      const got = await readAll(server, { onResume: (event) => resumes.push(event) });
      expect(got).toBe(DIGEST);
      const [, second] = server.requests;
      expect(second?.headers.range).toBe(`bytes=${resumes[0]?.offset}-${BLOB.length - 1}`);
      expect(resumes.every(({ offset }) => offset > 0)).toBe(true);
    },
  );

  test('without a length ends early unnoticed by HTTP, and yet comes whole', async () => {
    const server = await serve((request, response, count) => {
      if (request.method === 'HEAD' || count > 2) deliver(request, response);
      else response.writeHead(200).end(BLOB.subarray(0, 300_000));
    });
    expect(await readAll(server)).toBe(DIGEST);
  });

  test('is taken in as many parts as the upstream likes to give', async () => {
    const server = await serve((request, response) => deliver(request, response, { most: 200_000 }));
    expect(await readAll(server, { start: 1 })).toBe(digestOf(BLOB.subarray(1)));
    expect(server.requests).toHaveLength(5);
  });

  test('waits while the upstream is down, and goes on when it is back', async () => {
    const server = await serve((request, response, count) => {
      if (count === 1) deliver(request, response, { cutAfter: 500_000 });
      else if (count < 8) response.writeHead(503).end();
      else deliver(request, response);
    });
    expect(await readAll(server)).toBe(DIGEST);
    expect(server.requests).toHaveLength(8);
  });

  test('is given up after so many tries without progress, and trickling is none', async () => {
    const server = await serve((request, response) => deliver(request, response, { cutAfter: 10 }));
    const reading = readAll(server, { setting: { resumeAttempts: 5 } });
    await expect(reading).rejects.toBeInstanceOf(UpstreamUnreachableError);
    expect(server.requests).toHaveLength(6);
  });

  test('is given up at once where the registry behind a mirror sends other bytes than the digest names', async () => {
    const errors = [{ code: 'DIGEST_INVALID', message: 'r.example sends bytes of another digest' }];
    const server = await serve((request, response, count) => {
      if (count === 1) deliver(request, response, { cutAfter: 500_000 });
      else response.writeHead(503).end(JSON.stringify({ errors }));
    });
    await expect(readAll(server)).rejects.toThrow(/503: DIGEST_INVALID r\.example sends/u);
    expect(server.requests).toHaveLength(2);
  });

  test('is given up when patience ends', async () => {
    const server = await serve((request, response, count) => {
      if (count === 1) deliver(request, response, { cutAfter: 500_000 });
      else response.writeHead(503, { 'retry-after': '30' }).end();
    });
    const reading = readAll(server, { resumePatienceMs: 1000 });
    await expect(reading).rejects.toMatchObject({ name: 'UpstreamUnreachableError', status: 503 });
    expect(server.requests).toHaveLength(2);
  });

  test('is given up when the upstream is gone for good', async () => {
    const server = await serve((request, response) => deliver(request, response, { cutAfter: 500_000 }));
    const read = openRead(server, { setting: { resumeAttempts: 3 } });
    await read.open();
    await stop(server.server);
    await expect(
      (async () => {
        for await (const chunk of read) expect(chunk.length).toBeGreaterThan(0);
      })(),
    ).rejects.toBeInstanceOf(UpstreamUnreachableError);
  });

  test.each([
    ['another start', `bytes 0-${BLOB.length - 1}/${BLOB.length}`],
    ['another size', `bytes 500000-${BLOB.length - 1}/${BLOB.length + 1}`],
    ['no such range', 'bytes 500000-400000/1000000'],
  ])('is not gone on with by %s', async (_, contentRange) => {
    const server = await serve((request, response, count) => {
      deliver(request, response, count === 1 ? { cutAfter: 500_000 } : { contentRange });
    });
    await expect(readAll(server)).rejects.toBeInstanceOf(UpstreamProtocolError);
    expect(server.requests).toHaveLength(2);
  });

  test('fails with the reader’s own reason when it leaves', async () => {
    const server = await serve((request, response, count) => {
      if (count === 1) deliver(request, response, { cutAfter: 500_000 });
      else response.writeHead(503, { 'retry-after': '5' }).end();
    });
    const leave = new AbortController();
    const target = { registry: server.host, repository: 'org/app', reference: DIGEST };
    const read = upstreamFor({ plain: [server] }).readBlob(target, ANYONE, leave.signal, {
      onResume: () => leave.abort(new Error('gone for lunch')),
    });
    await expect(
      (async () => {
        for await (const chunk of read) expect(chunk.length).toBeGreaterThan(0);
      })(),
    ).rejects.toThrow('gone for lunch');
  });
});

/** Takes each Authorization for one request. */
async function fickle(): Promise<Loopback> {
  const used = new Set<string>();
  return serve((request, response, count) => {
    const { authorization = '' } = request.headers;
    if (used.has(authorization) || authorization.includes('wrong')) {
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="https://a.example/"' }).end();
      return;
    }
    used.add(authorization);
    deliver(request, response, count < 5 ? { cutAfter: 300_000 } : {});
  });
}

describe('a token that expires in the middle', () => {
  test('is replaced by what other callers have, the anonymous one too', async () => {
    const server = await fickle();
    const others = ['Bearer wrong', 'Bearer b', undefined, 'Bearer c', 'Bearer d'];
    const auth: Authorization = { kind: 'forward', authorization: 'Bearer a' };
    const got = await readAll(server, { auth, nextAuthorization: () => others.shift() });
    expect(got).toBe(DIGEST);
    const tried = server.requests.map(({ headers }) => headers.authorization);
    expect(tried.slice(0, 4)).toEqual(['Bearer a', 'Bearer a', 'Bearer wrong', 'Bearer b']);
    expect(tried).toContain(undefined);
  });

  test('ends the read with the challenge when nobody has another', async () => {
    const server = await fickle();
    const auth: Authorization = { kind: 'forward', authorization: 'Bearer a' };
    const reading = readAll(server, { auth, nextAuthorization: () => null });
    await expect(reading).rejects.toBeInstanceOf(UpstreamRefusedError);
    await expect(readAll(server, { auth })).rejects.toMatchObject({
      status: 401,
      challenges: ['Bearer realm="https://a.example/"'],
    });
  });

  test('is not replaced for ever', async () => {
    const server = await serve((request, response, count) => {
      if (count === 1) deliver(request, response, { cutAfter: 300_000 });
      else response.writeHead(403).end();
    });
    let asked = 0;
    const nextAuthorization = (): string => `Bearer ${(asked += 1)}`;
    await expect(readAll(server, { nextAuthorization })).rejects.toMatchObject({ status: 403 });
    expect(asked).toBe(16);
  });

  test('is fetched anew where the read has its own credentials', async () => {
    const realm = await serve((_, response, count) => response.end(JSON.stringify({ token: `t${count}` })));
    const used = new Set<string>();
    const server = await serve((request, response) => {
      const { authorization = '' } = request.headers;
      if (authorization === '' || used.has(authorization)) {
        response
          .writeHead(401, { 'www-authenticate': `Bearer realm="http://${realm.host}/",service="s"` })
          .end();
        return;
      }
      used.add(authorization);
      deliver(request, response, { cutAfter: 400_000 });
    });
    const got = await readAll(server, { auth: { kind: 'own' }, setting: { plain: [server, realm] } });
    expect(got).toBe(DIGEST);
    expect(used.size).toBe(3);
  });
});

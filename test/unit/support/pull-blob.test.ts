import { createServer, type RequestListener } from 'node:http';
import { readFile } from 'node:fs/promises';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { deterministicBytes, sha256Hex } from '../../support/bytes.ts';
import { freePort } from '../../../demo/free-port.ts';
import { pullBlob } from '../../../demo/pull-blob.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const BYTES = deterministicBytes('body', 300_000);

async function serve(handler: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(handler);
  server.listen(await freePort(), '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('what a pull reports', () => {
  test('a whole body: status, headers, hash, length, first byte, the file', async () => {
    await using dir = await temporaryDirectory();
    await using server = await serve((_, response) =>
      response.writeHead(200, { 'content-length': BYTES.length, 'x-it': 'yes' }).end(BYTES),
    );
    let seen = 0;
    const onBytes = (count: number): void => void (seen += count);
    const pulled = await pullBlob(server.url, { saveTo: dir.join('blob'), onBytes });
    expect(pulled).toMatchObject({
      status: 200,
      bytes: BYTES.length,
      sha256: sha256Hex(BYTES),
      complete: true,
    });
    expect(pulled.headers['x-it']).toBe('yes');
    expect(pulled.head.equals(BYTES.subarray(0, 65_536))).toBe(true);
    expect(pulled.firstByteMs).toBeLessThanOrEqual(pulled.totalMs);
    expect(seen).toBe(BYTES.length);
    expect((await readFile(dir.join('blob'))).equals(BYTES)).toBe(true);
  });

  test.each([
    ['with a length', { 'content-length': BYTES.length }],
    ['in chunks', {}],
  ])('a body that was cut midway, %s, is not complete', async (_, headers) => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, headers);
      response.write(BYTES.subarray(0, 100_000), () => response.socket?.end());
    });
    const pulled = await pullBlob(server.url);
    expect(pulled).toMatchObject({ status: 200, bytes: 100_000, complete: false });
    expect(pulled.sha256).toBe(sha256Hex(BYTES.subarray(0, 100_000)));
  });

  test('no first byte for an empty body', async () => {
    await using server = await serve((_, response) => response.writeHead(404).end());
    expect(await pullBlob(server.url)).toMatchObject({
      status: 404,
      bytes: 0,
      firstByteMs: undefined,
      complete: true,
    });
  });

  test('no answer at all rejects, and so does giving up', async () => {
    await expect(pullBlob(`http://127.0.0.1:${await freePort()}`)).rejects.toThrow('ECONNREFUSED');
    await using server = await serve((_, response) => response.flushHeaders());
    await expect(pullBlob(server.url, { signal: AbortSignal.timeout(50) })).rejects.toThrow(/abort|timeout/i);
  });
});

describe('what a pull sends', () => {
  test('authorization and range as they are, and no wish for compression', async () => {
    await using server = await serve((request, response) => response.end(JSON.stringify(request.headers)));
    const { head } = await pullBlob(server.url, { authorization: 'Basic eA==', range: 'bytes=5-' });
    expect(JSON.parse(head.toString())).toMatchObject({
      authorization: 'Basic eA==',
      range: 'bytes=5-',
      'accept-encoding': 'identity',
    });
  });

  test('no authorization to another origin after a redirect, but to the same one', async () => {
    await using other = await serve((request, response) =>
      response.end(request.headers.authorization ?? 'none'),
    );
    await using server = await serve((request, response) => {
      const location = request.url === '/near' ? '/here' : other.url;
      if (request.url === '/here') response.end(request.headers.authorization);
      else response.writeHead(307, { location }).end();
    });
    const near = await pullBlob(`${server.url}/near`, { authorization: 'Bearer t' });
    const far = await pullBlob(`${server.url}/far`, { authorization: 'Bearer t' });
    expect([near.head.toString(), near.redirects]).toEqual(['Bearer t', 1]);
    expect([far.head.toString(), far.redirects]).toEqual(['none', 1]);
  });
});

test('a slow reader takes as long as its rate says, and its slowness reaches the server', async () => {
  const big = deterministicBytes('big', 64 * 1024 * 1024);
  let roomy = true;
  await using server = await serve((_, response) => {
    roomy = response.writeHead(200, { 'content-length': big.length }).write(big);
  });
  const pulled = await pullBlob(server.url, { rate: 2_000_000, hangUpAfter: 600_000 });
  expect(pulled.totalMs).toBeGreaterThan(200);
  expect(pulled.bytes).toBeLessThan(big.length);
  expect(pulled.complete).toBe(false);
  expect(roomy).toBe(false);
});

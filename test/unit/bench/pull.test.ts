import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { pull, type PullOrder } from '../../../bench/rig/pull.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const BIG = Buffer.alloc(3_000_000, 'big');
const SMALL = Buffer.from('small');

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

async function serve(listener: RequestListener): Promise<{ port: number; connections: () => number }> {
  const server = createServer(listener);
  let connections = 0;
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: portOf(server), connections: () => connections };
}

/** Answers every connection with these bytes, then ends it. */
async function serveRaw(text: string): Promise<number> {
  const open = new Set<Socket>();
  const server = createTcpServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.end(text));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return portOf(server);
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('it does not listen');
  return address.port;
}

function order(port: number, stages: PullOrder['stages'], concurrency = 1): PullOrder {
  return { host: '127.0.0.1', port, stages, concurrency };
}

describe('what pulls through a door', () => {
  test('counts and checks every byte, stage after stage, over one kept-alive connection', async () => {
    const asked: string[] = [];
    const { port, connections } = await serve((request, response) => {
      asked.push(request.url!);
      const body = request.url === '/big' ? BIG : SMALL;
      response.writeHead(200, { 'content-length': body.length }).end(body);
    });
    const big = { path: '/big', digest: digestOf(BIG) };
    const small = { path: '/small', digest: digestOf(SMALL) };
    const { fetched } = await pull(order(port, [[small], [big, small]]));
    expect(fetched.map(({ bytes }) => bytes)).toEqual([SMALL.length, BIG.length, SMALL.length]);
    expect(asked).toEqual(['/small', '/big', '/small']);
    expect(connections()).toBe(1);
  });

  test('asks for as many at a time as it is told to', async () => {
    let running = 0;
    let most = 0;
    const { port } = await serve((_, response) => {
      most = Math.max(most, ++running);
      setTimeout(() => {
        running--;
        response.writeHead(200, { 'content-length': SMALL.length }).end(SMALL);
      }, 20);
    });
    const items = Array.from({ length: 7 }, () => ({ path: '/', digest: digestOf(SMALL) }));
    const { fetched } = await pull(order(port, [items], 3));
    expect(fetched).toHaveLength(7);
    expect(most).toBe(3);
  });

  test('does not take wrong bytes', async () => {
    const { port } = await serve((_, response) =>
      response.writeHead(200, { 'content-length': SMALL.length }).end(SMALL),
    );
    const wrong = { path: '/', digest: digestOf(BIG) };
    await expect(pull(order(port, [[wrong]]))).rejects.toThrow(
      `gave 5 bytes with the digest ${digestOf(SMALL)}`,
    );
  });

  test('does not take another status than 200 and says what the answer was', async () => {
    const { port } = await serve((_, response) =>
      response.writeHead(404, { 'content-length': SMALL.length }).end(SMALL),
    );
    const item = { path: '/x', digest: digestOf(SMALL) };
    await expect(pull(order(port, [[item]]))).rejects.toThrow('GET /x was answered 404: small');
  });

  test.each([
    ['a body that is cut', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nsmall', 'the connection was cut'],
    [
      'a body that is too long',
      'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nsmall',
      'longer than its Content-Length',
    ],
    ['a body without a length', 'HTTP/1.1 200 OK\r\n\r\nsmall', 'no Content-Length'],
    ['something else than HTTP', 'hello\r\n\r\n', 'is no answer by HTTP/1.1'],
    ['a head without an end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(70_000)}`, 'has no end'],
  ])('does not take %s', async (_, text, message) => {
    const port = await serveRaw(text);
    const item = { path: '/', digest: digestOf(SMALL) };
    await expect(pull(order(port, [[item]]))).rejects.toThrow(message);
  });
});

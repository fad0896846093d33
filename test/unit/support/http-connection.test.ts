import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { HttpConnection } from '../../../demo/http-connection.ts';

/** A server that answers each connection with these writes, one after the other. */
async function answering(parts: readonly string[]): Promise<Server & AsyncDisposable> {
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.once('data', () => {
      void (async () => {
        for (const part of parts) {
          socket.write(part);
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        socket.end();
      })();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return server;
}

async function get(parts: readonly string[]): Promise<{ status: number; body: string }> {
  await using server = await answering(parts);
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the server has no port');
  const connection = new HttpConnection({ host: '127.0.0.1', port: bound.port });
  let body = '';
  try {
    const onBody = (bytes: Uint8Array): void => void (body += Buffer.from(bytes).toString());
    const { status } = await connection.get({ path: '/', onBody });
    return { status, body };
  } finally {
    connection.close();
  }
}

test('reads a head and a body however they are cut', async () => {
  const parts = ['HTTP/1.1 404 Not', ' Found\r\nContent-Len', 'gth: 6\r\n\r', '\nab', 'cdef'];
  expect(await get(parts)).toEqual({ status: 404, body: 'abcdef' });
  expect(await get(['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'])).toEqual({ status: 200, body: '' });
});

test.each([
  ['the connection was cut', ['HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort']],
  ['longer than its Content-Length', ['HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nlonger']],
  ['has no Content-Length', ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n']],
  ['has no end', ['HTTP/1.1 200 OK\r\n', `x: ${'y'.repeat(70_000)}`]],
  ['is no answer by HTTP/1.1', ['SSH-2.0-OpenSSH\r\n\r\n']],
])('fails where an answer is none: %s', async (reason, parts) => {
  await expect(get(parts)).rejects.toThrow(reason);
});

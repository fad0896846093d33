import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { parseHostPort } from '#service/host-port.ts';

const PATIENCE_MS = 400;

/** What a listener sends to who says `words` to it, until it hangs up or says nothing for a moment. */
export async function answerTo(address: string, words: Buffer, tls = false): Promise<Buffer> {
  const { host, port } = parseHostPort(address) ?? { host: '', port: 0 };
  const socket: Socket = tls
    ? connectTls({ host, port, rejectUnauthorized: false })
    : connectTcp({ host, port });
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  let quiet = setTimeout(resolve, PATIENCE_MS);
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    clearTimeout(quiet);
    quiet = setTimeout(resolve, PATIENCE_MS);
  });
  // Being cut off is what is hoped for.
  socket.on('error', () => resolve());
  socket.once('close', () => resolve());
  socket.once(tls ? 'secureConnect' : 'connect', () => socket.write(words));
  await promise;
  clearTimeout(quiet);
  socket.destroy();
  return Buffer.concat(chunks);
}

/** BEP 3, 6 and 10, for a swarm by its id; then: interested, and a request for the first block. */
export function stockHandshake(infoHash: Buffer): Buffer {
  const reserved = Buffer.from('0000000000100004', 'hex');
  const interested = Buffer.from('0000000102', 'hex');
  const request = Buffer.from('0000000d06000000000000000000004000', 'hex');
  const name = Buffer.from('\u0013BitTorrent protocol', 'latin1');
  return Buffer.concat([name, reserved, infoHash, randomBytes(20), interested, request]);
}

/** Shoal's preamble with a proof of some other key, and a handshake right behind it. */
export function forgedPreamble(infoHash: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from('Shoal\u0001', 'latin1'),
    randomBytes(32 + 32 + 32),
    stockHandshake(infoHash),
  ]);
}

export function httpRequest(
  method: 'GET' | 'POST',
  path: string,
  headers: Record<string, string>,
  body = '',
): Buffer {
  const lines = Object.entries({ host: 'shoal', 'content-length': String(body.length), ...headers });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`);
}

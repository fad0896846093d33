import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Bandwidth } from '../../demo/upstream/bandwidth.ts';
import type { Condition } from './upstream-condition.ts';

/**
 * The registry of `faulty-upstream.ts`, in the network namespace of its host: blobs with ranges, to anybody.
 *
 *     node upstream-program.ts <address> <port> <directory of the blobs>
 */
const STEP_BYTES = 64 * 1024;
const [address = '', port = '', directory = ''] = process.argv.slice(2);

let condition: Condition = { kind: 'well' };
/** Counts changes: an answer compares it with that of its beginning. */
let changes = 0;
let bytesSent = 0;
const bandwidth = new Bandwidth();

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (condition.kind === 'status') {
    response.writeHead(condition.status, { 'content-length': 0, 'retry-after': '1' }).end();
    return;
  }
  const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(
    new URL(request.url ?? '/', 'http://registry').pathname,
  )?.[1];
  if (digest === undefined) {
    response.writeHead(request.url === '/v2/' ? 200 : 404, { 'content-length': 0 }).end();
    return;
  }
  await using file = await open(join(directory, digest));
  const { size } = await file.stat();
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = Math.min(size, Number(range?.[2] || size - 1) + 1);
  const length = condition.kind === 'truncated' ? Math.min(end - start, condition.afterBytes) : end - start;
  response.writeHead(range === null ? 200 : 206, {
    'content-length': length,
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (request.method === 'HEAD') response.end();
  else await pipeline(body(file, start, start + length), response);
}

/** @throws to have the connection cut */
async function* body(file: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  const begun = changes;
  let left = Infinity;
  let seen = begun;
  for (let position = start; position < end;) {
    if (changes !== begun && (condition.kind === 'status' || condition.kind === 'truncated'))
      throw new Error('cut');
    if (condition.kind === 'closing' && (seen !== changes || left === Infinity)) left = condition.afterBytes;
    seen = changes;
    if (left <= 0) throw new Error('cut');
    const step = Buffer.alloc(Math.min(bandwidth.step, STEP_BYTES, end - position));
    await file.read(step, 0, step.length, position);
    if (condition.kind === 'wrong') step[step.length >> 1]! ^= 0xff;
    await bandwidth.take(step.length);
    position += step.length;
    left -= step.length;
    bytesSent += step.length;
    yield step;
  }
}

const server = createServer((request, response) => {
  response.on('error', () => {});
  void answer(request, response).catch(() => response.destroy());
});

async function become(next: Condition): Promise<void> {
  condition = next;
  changes += 1;
  bandwidth.rate = next.kind === 'slow' ? next.bytesPerSecond : undefined;
  if (next.kind === 'gone') {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  } else if (!server.listening) {
    server.listen(Number(port), address);
    await once(server, 'listening');
  }
}

process.on('message', (next: Condition) => {
  void become(next).then(() => process.send?.(bytesSent));
});
process.on('disconnect', () => process.exit());
await become(condition);
process.send?.(bytesSent);

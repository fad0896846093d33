import { once } from 'node:events';
import { open } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import type { AccessEntry, AccessLog } from './access-log.ts';
import { Bandwidth } from './bandwidth.ts';
import type { BlobSource } from './content.ts';
import { findFault, type Fault } from './faults.ts';

export interface Body {
  source: BlobSource;
  /** First byte and the one behind the last, within the source. */
  from: number;
  to: number;
}

export interface Way {
  bandwidth: Bandwidth;
  log: AccessLog;
  entry: AccessEntry;
  faults: readonly Fault[];
  /** Aborts when the client has gone. */
  signal: AbortSignal;
}

/** Sends the body at the link's pace and with the faults that hit this request; headers must be set. */
export async function sendBody(response: ServerResponse, body: Body, way: Way): Promise<void> {
  const trickle = findFault(way.faults, 'trickle');
  const slow = trickle === undefined ? undefined : new Bandwidth(trickle.bytesPerSecond);
  using _flow = way.bandwidth.open();
  using _slowFlow = slow?.open();
  const cut = findFault(way.faults, 'cut');
  const end = cut === undefined ? body.to : Math.min(body.to, body.from + cut.afterBytes);
  let last = { flushed: Promise.resolve() };
  response.flushHeaders();
  await using source = await openSource(body.source);
  for (let at = body.from; at < end;) {
    const size = Math.min(way.bandwidth.step, slow?.step ?? Infinity, end - at);
    const chunk = corrupted(await source.read(at, size), at, way.faults);
    await slow?.take(chunk.length, way.signal);
    await way.bandwidth.take(chunk.length, way.signal);
    last = await write(response, chunk, way);
    at += chunk.length;
  }
  if (end === body.to) return void response.end();
  // Exactly the promised bytes arrive before the connection ends.
  await last.flushed;
  response.socket?.end();
}

export function sizeOfBlob(source: BlobSource): number {
  return source.kind === 'bytes' ? source.bytes.length : source.size;
}

interface OpenSource extends AsyncDisposable {
  /** At most `size` bytes, at least one. */
  read(at: number, size: number): Promise<Buffer>;
}

async function openSource(source: BlobSource): Promise<OpenSource> {
  if (source.kind === 'bytes') {
    const read = (at: number, size: number): Promise<Buffer> =>
      Promise.resolve(source.bytes.subarray(at, at + size));
    return { read, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const file = await open(source.path);
  const read = async (at: number, size: number): Promise<Buffer> => {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(size), 0, size, at);
    if (bytesRead === 0)
      throw new Error(`${source.path} is shorter than the ${source.size} bytes it was added with`);
    return buffer.subarray(0, bytesRead);
  };
  return { read, [Symbol.asyncDispose]: () => file.close() };
}

function corrupted(chunk: Buffer, at: number, faults: readonly Fault[]): Buffer {
  const offsets = faults.flatMap((fault) => (fault.kind === 'corrupt' ? [fault.offset - at] : []));
  const inside = offsets.filter((offset) => offset >= 0 && offset < chunk.length);
  if (inside.length === 0) return chunk;
  const copy = Buffer.from(chunk);
  for (const offset of inside) copy[offset] = copy[offset]! ^ 0xff;
  return copy;
}

/** Waits for room in the socket; what it returns settles when the chunk has left. */
async function write(response: ServerResponse, chunk: Buffer, way: Way): Promise<{ flushed: Promise<void> }> {
  const { promise: flushed, resolve } = Promise.withResolvers<void>();
  const roomy = response.write(chunk, (error) => {
    if (error === null || error === undefined) way.log.sent(way.entry, chunk.length);
    resolve();
  });
  if (!roomy) await once(response, 'drain', { signal: way.signal });
  return { flushed };
}

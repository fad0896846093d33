import type { ByteRange } from '#registry/range.ts';
import { READ_BUFFER_BYTES } from '#agent/defaults.ts';

/** A blob in the store, opened. */
export interface OpenedBlob extends AsyncDisposable {
  readonly size: number;
  read(position: number, target: Uint8Array): Promise<void>;
}

/**
 * The bytes of a range, in order. Two buffers take turns, so a chunk is good only until the second call of `next`
 * after the one that gave it; the reader may send one while the next is being read.
 */
export async function* readStored(
  blob: OpenedBlob,
  { start, end }: ByteRange,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const length = Math.min(READ_BUFFER_BYTES, end - start + 1);
  const buffers = [Buffer.allocUnsafe(length), Buffer.allocUnsafe(length)] as const;
  for (let position = start, turn = 0; position <= end; turn += 1) {
    signal.throwIfAborted();
    const target = buffers[turn % 2]!.subarray(0, Math.min(length, end + 1 - position));
    await blob.read(position, target);
    position += target.length;
    yield target;
  }
}

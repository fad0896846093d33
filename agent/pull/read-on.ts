import type { ByteRange } from '#registry/range.ts';
import { BlobDamagedError } from '#swarm/store/errors.ts';
import type { Access, Granted } from './access.ts';
import type { CountBytes } from './swarm.ts';

/**
 * Reads a range; where the disk turns out to have lost or changed what it held, goes on from that byte another way, once:
 * the store has dropped the blob by then, so that it is fetched anew.
 */
export async function* readOn(
  { access, again }: { access: Granted; again: () => Promise<Access> },
  range: ByteRange,
  signal: AbortSignal,
  count: CountBytes,
): AsyncGenerator<Buffer> {
  let { start } = range;
  try {
    for await (const chunk of access.open(range, signal, count)) {
      start += chunk.length;
      yield chunk;
    }
    return;
  } catch (error) {
    if (signal.aborted || !isDamage(error)) throw error;
  }
  const other = await again();
  if (other.kind !== 'granted') throw new BlobDamagedError('the blob is damaged and not to be had elsewhere');
  await using granted = other;
  yield* granted.open({ start, end: range.end }, signal, count);
}

/** A torrent tells why it failed by the cause. */
function isDamage(error: unknown): boolean {
  return (
    error instanceof BlobDamagedError || (error instanceof Error && error.cause instanceof BlobDamagedError)
  );
}

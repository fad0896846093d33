import { type Digest, digestHash, digestHex } from '#registry/digest.ts';
import type { ByteRange } from '#registry/range.ts';
import { SMALL_BYTES } from '#agent/defaults.ts';
import { UpstreamAnswerError, WrongContentError } from '#agent/upstream.ts';

/**
 * The range of a blob out of its body as upstream sends it, from byte 0, with no part of the swarm: the last bytes
 * go out only once the whole matched its digest. The body is read to its end, whatever the range.
 * @throws UpstreamAnswerError for a body of another length, WrongContentError for one of another digest
 */
export async function* passVerified(
  body: AsyncIterable<Uint8Array>,
  digest: Digest,
  size: number,
  range: ByteRange,
): AsyncGenerator<Buffer> {
  const hash = digestHash(digest);
  const held: Buffer[] = [];
  let heldBytes = 0;
  let position = 0;
  for await (const chunk of body) {
    hash.update(chunk);
    const wanted = clip(chunk, position, range);
    position += chunk.length;
    if (position > size)
      throw new UpstreamAnswerError(`upstream sent more than the ${size} bytes that it announced`);
    if (wanted.length > 0) held.push(wanted);
    heldBytes += wanted.length;
    // Only what is followed by enough to hold back may go.
    while (held.length > 1 && heldBytes - held[0]!.length >= SMALL_BYTES) {
      heldBytes -= held[0]!.length;
      yield held.shift()!;
    }
  }
  if (position < size)
    throw new UpstreamAnswerError(`upstream ended the body after ${position} of ${size} bytes`);
  if (hash.digest('hex') !== digestHex(digest)) throw new WrongContentError(digest);
  yield* held;
}

function clip(chunk: Uint8Array, position: number, { start, end }: ByteRange): Buffer {
  const from = Math.min(chunk.length, Math.max(0, start - position));
  const until = Math.max(from, Math.min(chunk.length, end + 1 - position));
  return Buffer.from(chunk.buffer, chunk.byteOffset + from, until - from);
}

import { expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import { CheckedBlob } from '#swarm/session/checked-blob.ts';
import { ANSWER_CHUNK_BYTES, LENT_PIECE_BYTES } from '#swarm/session/defaults.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import { ReadMemory } from '#swarm/session/read-memory.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';

/** Of pieces of a mebibyte. */
const SIZE = 3 * 1024 ** 3;
const PIECE = pieceLength(SIZE);
const signal = new AbortController().signal;

/** A blob of zeros, without a file of such a size, all of whose hashes are known. */
function zeros(memory: ReadMemory): CheckedBlob {
  const blob: StoredBlob = {
    digest: digestOf('zeros'),
    size: SIZE,
    read: async (_position, target) => void target.fill(0),
    drop: () => {},
    batches: async () => [],
    [Symbol.asyncDispose]: async () => {},
  };
  const hashes = {
    complete: true,
    has: () => true,
    matches: (_index: number, data: Uint8Array) => data.every((byte) => byte === 0),
  };
  return new CheckedBlob(blob, hashes, memory);
}

async function next(chunks: AsyncGenerator<Buffer>): Promise<Buffer> {
  const { value } = await chunks.next();
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

it('keeps of a piece no more than the range that was asked for', async () => {
  const blob = zeros(new ReadMemory(new PiecePool(0)));
  const byte = await next(blob.read(PIECE + 5, PIECE + 6, signal));
  expect([byte.length, byte.buffer.byteLength < PIECE / 2]).toEqual([1, true]);
});

it('lends whole pieces to so many slow clients; the others get all their bytes in smaller chunks', async () => {
  const memory = new ReadMemory(new PiecePool(0));
  const lent = LENT_PIECE_BYTES / PIECE;
  const answers = Array.from({ length: lent + 8 }, () => zeros(memory).read(0, 2 * PIECE, signal));
  const lengths: number[] = [];
  for (const answer of answers) lengths.push((await next(answer)).length);
  expect(lengths).toEqual([...Array(lent).fill(PIECE), ...Array(8).fill(ANSWER_CHUNK_BYTES)]);
  let rest = 0;
  for await (const chunk of answers.at(-1)!) rest += chunk.length;
  expect(rest).toBe(2 * PIECE - ANSWER_CHUNK_BYTES);
  for (const answer of answers) await answer.return(undefined);
  expect((await next(zeros(memory).read(0, 2 * PIECE, signal))).length).toBe(PIECE);
});

it('does not use the memory of a chunk again while its reader may still send it', async () => {
  const pool = new PiecePool(LENT_PIECE_BYTES);
  const chunks = zeros(new ReadMemory(pool)).read(0, 3 * PIECE, signal);
  const first = await next(chunks);
  const second = await next(chunks);
  const third = await next(chunks);
  expect(second.buffer).not.toBe(first.buffer);
  expect(third.buffer).not.toBe(second.buffer);
  expect(await chunks.next()).toMatchObject({ done: true });
  expect(pool.take(PIECE).data.buffer).not.toBe(third.buffer);
});

import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import { PieceStorage } from '#swarm/session/piece-storage.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const PIECE = 256 * 1024;

class Disk implements StoredBlob {
  readonly #content: Buffer;
  readonly digest;
  readonly size = 2 * PIECE;

  constructor(seed: string) {
    this.#content = deterministicBytes(seed, this.size);
    this.digest = digestOf(this.#content);
  }

  piece(index: number): Buffer {
    return this.#content.subarray(index * PIECE, (index + 1) * PIECE);
  }

  async read(position: number, target: Uint8Array): Promise<void> {
    target.set(this.#content.subarray(position, position + target.length));
  }

  drop(): void {
    throw new Error('nothing is wrong with what was read');
  }

  async batches(): Promise<Uint8Array[]> {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

test('two storages that share a cache have nothing of each other, nor does the end of one take from the other', async () => {
  const cache = new PieceCache(4 * PIECE);
  const pool = new PiecePool(0);
  const open = (disk: Disk): PieceStorage =>
    new PieceStorage(
      { cache, pool, onFull: () => undefined },
      { size: disk.size, place: { kind: 'stored', blob: disk } },
    );
  const [first, second] = [new Disk('first'), new Disk('second')];
  await using one = open(first);
  const other = open(second);
  (await one.readPiece(1)).memory.release();
  const { bytes, memory } = await other.readPiece(1);
  expect(bytes.equals(second.piece(1))).toBe(true);
  memory.release();
  await other[Symbol.asyncDispose]();
  // In memory still, so that it is there at once.
  const kept = one.readPiece(1);
  expect(kept).not.toBeInstanceOf(Promise);
  expect((await kept).bytes.equals(first.piece(1))).toBe(true);
});

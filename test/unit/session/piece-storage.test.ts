import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import { PieceStorage } from '#swarm/session/piece-storage.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const PIECE = 256 * 1024;

/** Holds something else than its digest says, so that it can be told what was read of it. */
class Disk implements StoredBlob {
  readonly #content: Buffer;
  readonly digest = digestOf(Buffer.from('one blob'));
  readonly size = 12 * PIECE;

  constructor(seed: string) {
    this.#content = deterministicBytes(seed, this.size);
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

async function read(storage: PieceStorage, index: number): Promise<Buffer> {
  const { bytes, memory } = await storage.readPiece(index);
  memory.release();
  return Buffer.from(bytes);
}

test('two storages of one blob have nothing of each other, and the end of one takes what is its own and no more', async () => {
  const cache = new PieceCache(16 * PIECE);
  const pool = new PiecePool(0);
  const disks = Array.from({ length: 11 }, (_, number) => new Disk(`disk ${number}`));
  const storages = disks.map(
    (blob) =>
      new PieceStorage(
        { cache, pool, onFull: () => undefined },
        { size: blob.size, place: { kind: 'stored', blob } },
      ),
  );
  for (const [number, storage] of storages.entries())
    expect((await read(storage, 1)).equals(disks[number]!.piece(1))).toBe(true);
  expect((await read(storages[0]!, 11)).equals(disks[0]!.piece(11))).toBe(true);
  expect(cache.bytes).toBe(12 * PIECE);
  await storages[10]![Symbol.asyncDispose]();
  expect(cache.bytes).toBe(11 * PIECE);
  // In memory still, so that it is there at once.
  expect(storages[0]!.readPiece(1)).not.toBeInstanceOf(Promise);
  await Promise.all(storages.map((storage) => storage[Symbol.asyncDispose]()));
  expect(cache.bytes).toBe(0);
});

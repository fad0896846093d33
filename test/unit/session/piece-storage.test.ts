import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import { PieceStorage } from '#swarm/session/piece-storage.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const PIECE = 256 * 1024;
const content = deterministicBytes('pieces', 2 * PIECE);

const cacheOf = (bytes: number): PieceCache =>
  new PieceCache({ bytes, awaitedBytes: 0, awaitedMs: 0 }, () => 0);

/** A stored blob whose reads are counted, and fail for as long as `broken` is set. */
class Disk implements StoredBlob {
  readonly digest = digestOf(content);
  readonly size = content.length;
  readonly pool = new PiecePool(PIECE);
  reads = 0;
  broken = false;

  async read(position: number, target: Uint8Array): Promise<void> {
    this.reads++;
    await Promise.resolve();
    if (this.broken) throw new Error('EIO: i/o error, read');
    target.set(content.subarray(position, position + target.length));
  }

  drop(): void {
    throw new Error('nothing is wrong with what was read');
  }

  async batches(): Promise<Uint8Array[]> {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  storage(cache: PieceCache): PieceStorage {
    const parts = { cache, pool: this.pool, onFull: () => undefined };
    return new PieceStorage(parts, { size: this.size, place: { kind: 'stored', blob: this } });
  }
}

test('a read that failed gives its memory back, and the next one tries again', async () => {
  const disk = new Disk();
  disk.broken = true;
  await using storage = disk.storage(cacheOf(PIECE));
  const spare = disk.pool.take(PIECE);
  const { buffer } = spare.data;
  spare.release();
  await expect(storage.readPiece(1)).rejects.toThrow('EIO');
  // Its memory is there for others again.
  const again = disk.pool.take(PIECE);
  expect(again.data.buffer).toBe(buffer);
  again.release();
  disk.broken = false;
  const { bytes } = await storage.readPiece(1);
  expect(bytes.equals(content.subarray(PIECE))).toBe(true);
  expect(disk.reads).toBe(2);
});

test('two storages of one blob have nothing of each other', async () => {
  const [disk, other] = [new Disk(), new Disk()];
  const cache = cacheOf(2 * PIECE);
  await using first = disk.storage(cache);
  await using second = other.storage(cache);
  await first.readPiece(1);
  await second.readPiece(1);
  expect([disk.reads, other.reads]).toEqual([1, 1]);
});

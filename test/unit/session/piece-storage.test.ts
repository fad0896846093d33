import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import { PieceStorage } from '#swarm/session/piece-storage.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const PIECE = 256 * 1024;
const HALF = PIECE / 2;
const content = deterministicBytes('pieces', 2 * PIECE);

/** A stored blob whose reads are counted, and fail for as long as `broken` is set. */
class Disk implements StoredBlob {
  readonly digest = digestOf(content);
  readonly size = content.length;
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

  storage(cacheBytes: number): PieceStorage {
    const cache = new PieceCache({ bytes: cacheBytes, awaitedBytes: 0, awaitedMs: 0 }, () => 0);
    const parts = { cache, pool: new PiecePool(0), onFull: () => undefined };
    return new PieceStorage(parts, {
      key: 'blob',
      size: this.size,
      place: { kind: 'stored', blob: this },
    });
  }
}

const halves = (storage: PieceStorage) => [0, HALF].map(async (offset) => storage.read(1, offset, HALF));

test('blocks of a piece asked for at one time are read once', async () => {
  const disk = new Disk();
  await using storage = disk.storage(PIECE);
  const lent = await Promise.all(halves(storage));
  expect(disk.reads).toBe(1);
  expect(Buffer.concat(lent.map(({ bytes }) => bytes)).equals(content.subarray(PIECE))).toBe(true);
});

test('each who waited for a read has a hold of its own, and nobody one more', async () => {
  const disk = new Disk();
  await using storage = disk.storage(0);
  const lent = await Promise.all(halves(storage));
  for (const { memory } of lent) memory.release();
  expect(() => lent[0]!.memory.release()).toThrow('given back twice');
  await storage.readPiece(1);
  expect(disk.reads).toBe(2);
});

test('a read that failed has failed for all who waited, and the next one tries again', async () => {
  const disk = new Disk();
  disk.broken = true;
  await using storage = disk.storage(PIECE);
  const outcomes = await Promise.allSettled(halves(storage));
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  disk.broken = false;
  const { bytes } = await storage.readPiece(1);
  expect(bytes.equals(content.subarray(PIECE))).toBe(true);
  expect(disk.reads).toBe(2);
});

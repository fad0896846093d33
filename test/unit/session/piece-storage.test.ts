import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PROVEN_MS, SAMPLE } from '#swarm/session/defaults.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';
import { PieceStorage, WriteBacklog } from '#swarm/session/piece-storage.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { StoreFixture } from '../store/store-fixture.ts';

const PIECE = 256 * 1024;

/** Holds something else than its digest says, so that it can be told what was read of it. */
class Disk implements StoredBlob {
  readonly #content: Buffer;
  readonly digest = digestOf(Buffer.from('one blob'));
  readonly size = 12 * PIECE;
  /** Bytes of each read. */
  readonly reads: number[] = [];

  constructor(seed: string) {
    this.#content = deterministicBytes(seed, this.size);
  }

  piece(index: number): Buffer {
    return this.#content.subarray(index * PIECE, (index + 1) * PIECE);
  }

  async read(position: number, target: Uint8Array): Promise<void> {
    this.reads.push(target.length);
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
  const cache = new PieceCache({ bytes: 16 * PIECE, awaitedBytes: 0, awaitedMs: 0 }, () => 0);
  const pool = new PiecePool(0);
  const disks = Array.from({ length: 11 }, (_, number) => new Disk(`disk ${number}`));
  const storages = disks.map(
    (blob) =>
      new PieceStorage(
        { cache, backlog: new WriteBacklog(), pool, now: () => 0, onFull: () => undefined },
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

test('of a piece that a disk has just given back as it was a short block is read alone for a peer, until it is found damaged', async () => {
  const disk = new Disk('blocks');
  const cache = new PieceCache({ bytes: 0, awaitedBytes: 0, awaitedMs: 0 }, () => 0);
  let now = 1;
  await using storage = new PieceStorage(
    { cache, backlog: new WriteBacklog(), pool: new PiecePool(0), now: () => now, onFull: () => undefined },
    { size: disk.size, place: { kind: 'stored', blob: disk } },
  );
  storage.compare = (index, data) => data.equals(disk.piece(index));
  const block = { index: 3, offset: 32 * 1024, length: 32 * 1024 };
  const bytes = disk.piece(3).subarray(block.offset, block.offset + block.length);
  const readBlock = async (): Promise<number[]> => {
    const lent = await storage.readBlock(block);
    expect(lent.bytes.equals(bytes)).toBe(true);
    lent.memory.release();
    return disk.reads.splice(0);
  };
  expect(await readBlock()).toEqual([PIECE]);
  expect(await readBlock()).toEqual([block.length]);
  // A reader of this node is given only what was compared.
  await read(storage, 3);
  expect(disk.reads.splice(0)).toEqual([PIECE]);
  now += PROVEN_MS;
  expect(await readBlock()).toEqual([PIECE]);
  expect(await readBlock()).toEqual([block.length]);
  // All of what is asked for in long blocks is in memory for the next peer.
  await expect(storage.readBlock({ index: 3, offset: 0, length: PIECE / 2 })).resolves.toBeDefined();
  expect(disk.reads.splice(0)).toEqual([PIECE]);
  storage.compare = () => false;
  await expect(storage.readPiece(3)).rejects.toThrow('nothing is wrong');
  await expect(storage.readBlock(block)).rejects.toThrow('nothing is wrong');
});

test('of pieces that the disk has just taken, a sample is compared for peers, and each for readers of this node', async () => {
  await using stores = await StoreFixture.open(64 * PIECE);
  const content = deterministicBytes('written', 32 * PIECE);
  const pieceOf = (index: number): Buffer => content.subarray(index * PIECE, (index + 1) * PIECE);
  const digest = digestOf(content);
  const blob = await stores.store.partial({ digest, scope: 'registry.example' }, content.length);
  const cache = new PieceCache({ bytes: 2 * PIECE, awaitedBytes: 0, awaitedMs: 0 }, () => 0);
  let now = 1;
  await using storage = new PieceStorage(
    { cache, backlog: new WriteBacklog(), pool: new PiecePool(0), now: () => now, onFull: () => undefined },
    { size: content.length, place: { kind: 'partial', blob } },
  );
  const compared: number[] = [];
  storage.compare = (index, data) => {
    compared.push(index);
    return data.equals(pieceOf(index));
  };
  for (let index = 0; index < 32; index++) storage.put(index, new PieceMemory(pieceOf(index)));
  const forPeers = async (from: number, to: number): Promise<number[]> => {
    for (let index = from; index < to; index++) {
      const { bytes, memory } = await storage.readBlock({ index, offset: 0, length: PIECE });
      expect(bytes.equals(pieceOf(index))).toBe(true);
      memory.release();
    }
    return compared.splice(0);
  };
  await expect.poll(() => storage.unwrittenBytes).toBe(0);
  expect(await forPeers(0, SAMPLE)).toEqual([0]);
  await read(storage, SAMPLE - 1);
  expect(compared.splice(0)).toEqual([SAMPLE - 1]);
  await read(storage, SAMPLE - 1);
  expect(compared).toEqual([]);
  await storage.commit(digest, {}, (stored) => stores.store.open(stored));
  expect(await forPeers(SAMPLE, 2 * SAMPLE)).toEqual([SAMPLE]);
  now += PROVEN_MS;
  expect(await forPeers(2 * SAMPLE, 2 * SAMPLE + 3)).toEqual([16, 17, 18]);
});

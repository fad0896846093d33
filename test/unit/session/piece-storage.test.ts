import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PROVEN_MS, SAMPLE, SHORT_BLOCK } from '#swarm/session/defaults.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';
import { PieceStorage, WriteBacklog } from '#swarm/session/piece-storage.ts';
import type { BlobStore, StoredBlob } from '#swarm/store/blob-store.ts';
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

/** A blob of 32 pieces that its disk has just taken, of which two are kept in memory. */
class Written implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #content = deterministicBytes('written', 32 * PIECE);
  readonly digest = digestOf(this.#content);
  /** What was compared since this was emptied. */
  readonly compared: number[] = [];
  /** Found to be other bytes. */
  readonly spoilt = new Set<number>();
  now = 1;
  #storage: PieceStorage | undefined;

  static async start(): Promise<Written & { readonly storage: PieceStorage; readonly store: BlobStore }> {
    const written = new Written();
    const { store } = written.#stack.use(await StoreFixture.open(64 * PIECE));
    const size = written.#content.length;
    const blob = await store.partial({ digest: written.digest, scope: 'registry.example' }, size);
    const cache = new PieceCache({ bytes: 2 * PIECE, awaitedBytes: 0, awaitedMs: 0 }, () => 0);
    const storage = written.#stack.use(
      new PieceStorage(
        {
          cache,
          backlog: new WriteBacklog(),
          pool: new PiecePool(0),
          now: () => written.now,
          onFull: () => undefined,
        },
        { size, place: { kind: 'partial', blob } },
      ),
    );
    storage.compare = (index, data) => {
      written.compared.push(index);
      return !written.spoilt.has(index) && data.equals(written.pieceOf(index));
    };
    for (let index = 0; index < 32; index++) storage.put(index, new PieceMemory(written.pieceOf(index)));
    while (storage.unwrittenBytes > 0) await setTimeout(1);
    // The last of them stay in memory, not those that the disk took last.
    for (const index of [30, 31]) await read(storage, index);
    written.#storage = storage;
    return Object.assign(written, { storage, store });
  }

  pieceOf(index: number): Buffer {
    return this.#content.subarray(index * PIECE, (index + 1) * PIECE);
  }

  /** What is compared where a peer asks for these pieces, in blocks of this many bytes. */
  async forPeers(from: number, to: number, length = PIECE): Promise<number[]> {
    this.compared.length = 0;
    for (let index = from; index < to; index++) {
      for (let offset = 0; offset < PIECE; offset += length) {
        const { bytes, memory } = await this.#storage!.readBlock({ index, offset, length });
        const isAsPut = bytes.equals(this.pieceOf(index).subarray(offset, offset + length));
        memory.release();
        if (!isAsPut) throw new Error(`other bytes of piece ${index} were given out`);
      }
    }
    return this.compared.splice(0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

test('of pieces that the disk has just taken, a sample is compared for peers, and each for readers of this node', async () => {
  await using written = await Written.start();
  const { storage, store, digest, compared } = written;
  expect(await written.forPeers(0, SAMPLE)).toEqual([0]);
  await read(storage, SAMPLE - 1);
  expect(compared.splice(0)).toEqual([SAMPLE - 1]);
  await read(storage, SAMPLE - 1);
  expect(compared).toEqual([]);
  await storage.commit(digest, {}, (stored) => store.open(stored));
  expect(await written.forPeers(SAMPLE, 2 * SAMPLE)).toEqual([SAMPLE]);
  written.now += PROVEN_MS;
  expect(await written.forPeers(2 * SAMPLE, 2 * SAMPLE + 3)).toEqual([16, 17, 18]);
});

test('no piece goes to a second peer before it was compared, from memory or from disk', async () => {
  await using written = await Written.start();
  expect(await written.forPeers(0, 3, PIECE / 2)).toEqual([0]);
  // In memory are the last two.
  expect(await written.forPeers(2, 3, PIECE / 2)).toEqual([2]);
  expect(await written.forPeers(2, 3, PIECE / 2)).toEqual([]);
  expect(await written.forPeers(1, 2)).toEqual([1]);
  const twice = [written.forPeers(4, 5), written.forPeers(4, 5)];
  expect((await Promise.all(twice)).flat()).toEqual([4]);
});

test('in short blocks nothing goes out that the disk has only taken', async () => {
  await using written = await Written.start();
  const short = PIECE * SHORT_BLOCK;
  expect(await written.forPeers(0, 1, short)).toEqual([0]);
  // A sample was due; what follows is read whole, and lent to the one who asks.
  expect(await written.forPeers(1, 3, short)).toEqual([]);
  expect(await written.forPeers(1, 3, short)).toEqual([1, 2]);
});

test('a disk that has spoilt one piece is believed no more', async () => {
  await using written = await Written.start();
  written.spoilt.add(0);
  await expect(written.forPeers(0, 1)).rejects.toThrow('not what was stored');
  expect(await written.forPeers(1, 5)).toEqual([1, 2, 3, 4]);
  written.storage.put(0, new PieceMemory(written.pieceOf(0)));
  await expect.poll(() => written.storage.unwrittenBytes).toBe(0);
  written.spoilt.clear();
  expect(await written.forPeers(5, 8)).toEqual([5, 6, 7]);
  expect(await written.forPeers(0, 1)).toEqual([0]);
});

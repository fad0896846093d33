import type { Block } from '#swarm/core/piece-table.ts';
import type { Digest } from '#registry/digest.ts';
import type { Facts, PartialBlob, StoredBlob } from '#swarm/store/blob-store.ts';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import {
  MAX_ALL_UNWRITTEN_BYTES,
  MAX_UNSTORED_BYTES,
  MAX_UNWRITTEN_BYTES,
  PROVEN_MS,
  SAMPLE,
  SHORT_BLOCK,
} from './defaults.ts';
import { refuseDamaged } from './damaged-piece.ts';
import type { PieceCache } from './piece-cache.ts';
import type { PieceBytes, PieceMemory, PiecePool } from './piece-memory.ts';

/** Where a torrent's pieces lie on disk; undefined where nothing can be stored. */
export type PiecePlace =
  | { readonly kind: 'partial'; readonly blob: PartialBlob }
  | { readonly kind: 'stored'; readonly blob: StoredBlob }
  | undefined;

/** Bytes that wait to be written, of all torrents of a process. */
export class WriteBacklog {
  bytes = 0;
}

/** Storages so far. */
let storages = 0;

/** Reads and writes one blob's pieces, through the cache of those that were verified last. */
export class PieceStorage implements AsyncDisposable {
  /** Of this storage alone: two of one blob may be open at a time, and what one was given is no proof for the other. */
  readonly #key = ++storages;
  readonly #cache: PieceCache;
  readonly #backlog: WriteBacklog;
  readonly #pool: PiecePool;
  readonly #size: number;
  readonly #writes = new Set<Promise<void>>();
  readonly #onFull: (error: unknown) => void;
  readonly #now: () => number;
  /** When the disk last gave each piece back as it was; -Infinity: not yet. Milliseconds. */
  readonly #provenAt: Float64Array;
  /** When it last took each; -Infinity: not yet, or it is known to spoil what it takes. Milliseconds. */
  readonly #writtenAt: Float64Array;
  #spoils = false;
  /** Pieces that were read back for peers right after they were written. */
  #readBack = 0;
  /** Of these, what was lent without a comparison and has not been compared since. */
  readonly #uncompared = new Set<number>();
  #place: PiecePlace;
  /** Where the disk takes nothing more: pieces in memory until they are released or others need the room. */
  #overflow: Map<number, PieceMemory> | undefined;
  #overflowBytes = 0;
  #unwritten = 0;
  #ending: Promise<void> | undefined;
  /** Whether a piece that a disk gave back is what was put; undefined where nothing tells. */
  compare: (index: number, data: Buffer) => boolean | undefined = () => undefined;
  /** Whether the digest is still to come to the piece, or a reader of this process that has begun before it. */
  awaited: (index: number) => boolean = () => false;
  /** A piece that was put is gone: it was in memory only, and there was no room for it any more. */
  onGone: ((index: number) => void) | undefined;

  constructor(
    parts: {
      cache: PieceCache;
      backlog: WriteBacklog;
      pool: PiecePool;
      now: () => number;
      onFull: (error: unknown) => void;
    },
    blob: { size: number; place: PiecePlace },
  ) {
    this.#cache = parts.cache;
    this.#backlog = parts.backlog;
    this.#pool = parts.pool;
    this.#onFull = parts.onFull;
    this.#now = parts.now;
    this.#size = blob.size;
    this.#provenAt = new Float64Array(pieceCount(blob.size)).fill(-Infinity);
    this.#writtenAt = new Float64Array(pieceCount(blob.size)).fill(-Infinity);
    this.#place = blob.place;
    if (!blob.place) this.#overflow = new Map();
  }

  /** Whether new pieces are kept only until they are released. */
  get inMemory(): boolean {
    return this.#overflow !== undefined;
  }

  /** Whether the pieces are read from a complete blob of the store's. */
  get stored(): boolean {
    return this.#place?.kind === 'stored';
  }

  get unwrittenBytes(): number {
    return this.#unwritten;
  }

  /** Whether the disk is so far behind that nothing more should come. */
  get isBehind(): boolean {
    if (this.#unwritten >= MAX_UNWRITTEN_BYTES) return true;
    // A torrent that gives the disk nothing to do may go on, whatever others have it do.
    return this.#unwritten > 0 && this.#backlog.bytes >= MAX_ALL_UNWRITTEN_BYTES;
  }

  /** Resolves once the disk is not behind. */
  async caughtUp(): Promise<void> {
    while (this.isBehind) await Promise.race(this.#writes);
  }

  /** Keeps a verified piece, and its memory. It can be read from now on; the disk gets it when it can. */
  put(index: number, memory: PieceMemory): void {
    if (this.#overflow) this.#keepInMemory(index, memory);
    else if (this.#place?.kind === 'partial') this.#write(index, memory, this.#place.blob);
    else memory.release();
  }

  /** Keeps a signed batch of hashes with the pieces, for a later run and for peers that ask. */
  keepBatch(signed: Uint8Array): void {
    if (this.#overflow || this.#place?.kind !== 'partial') return;
    const write = this.#place.blob
      .appendBatch(signed)
      // Without it the pieces have to be fetched anew after a restart: nothing is lost now.
      .catch(() => undefined)
      .finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  /**
   * Bytes of a piece that was put, lent to a reader of this process until their memory is released: at once from memory, else from disk.
   * Rejects with BlobDamagedError where they are not what was put.
   */
  read(index: number, offset: number, length: number): PieceBytes | Promise<PieceBytes> {
    const memory = this.#inMemory(index);
    if (!memory)
      return this.#fromDisk(index, { compare: true, awaited: this.awaited(index) }).then((read) =>
        lend(read, offset, length),
      );
    return this.#uncompared.has(index)
      ? this.#comparedInMemory(index, memory.retain()).then((compared) => lend(compared, offset, length))
      : lend(memory.retain(), offset, length);
  }

  /**
   * A block for a peer, lent likewise. The peer compares what it gets, so a piece that the disk has just taken goes to the first that asks without being hashed
   * anew, but for a sample. In short blocks, over a slow connection, a piece goes for so long that it is gone from memory when the next is asked for: then no more
   * than the block is read, once the disk has given the piece back as it was.
   */
  readBlock({ index, offset, length }: Block): PieceBytes | Promise<PieceBytes> {
    const memory = this.#inMemory(index);
    // Who begins the piece is another peer than the one that it was lent to.
    if (memory) return offset > 0 ? lend(memory.retain(), offset, length) : this.read(index, offset, length);
    const now = this.#now();
    if (now - this.#provenAt[index]! < PROVEN_MS && length <= sizeOfPiece(this.#size, index) * SHORT_BLOCK)
      return this.#pool
        .filled(length, (target) => this.#load(this.#place, index, offset, target))
        .then((block) => ({ bytes: block.data, memory: block }));
    const isFresh = now - Math.max(this.#provenAt[index]!, this.#writtenAt[index]!) < PROVEN_MS;
    const compare = !isFresh || this.#uncompared.has(index) || this.#readBack++ % SAMPLE === 0;
    return this.#fromDisk(index, { compare, awaited: false }).then((read) => lend(read, offset, length));
  }

  /** The whole piece, lent likewise. */
  readPiece(index: number): PieceBytes | Promise<PieceBytes> {
    return this.read(index, 0, sizeOfPiece(this.#size, index));
  }

  /** The piece is not awaited any more: it makes room in the cache like others. */
  passed(index: number): void {
    this.#cache.passed(this.#cacheKey(index));
  }

  /** The piece is not needed any more. True where it was in memory only and so is gone. */
  release(index: number): boolean {
    const piece = this.#overflow?.get(index);
    if (!piece) return false;
    this.#overflowBytes -= piece.data.length;
    piece.release();
    return this.#overflow!.delete(index);
  }

  /** The whole matched its digest: all writes reach the disk and the blob takes its place in the store. */
  async commit(
    digest: Digest,
    facts: Partial<Facts>,
    open: (digest: Digest) => Promise<StoredBlob | undefined>,
  ): Promise<void> {
    await Promise.all(this.#writes);
    if (this.#overflow || this.#place?.kind !== 'partial') return;
    const partial = this.#place.blob;
    const isOwn = await partial.commit(facts);
    // It is another file, if somebody else has stored the blob meanwhile.
    if (!isOwn) this.#distrust();
    const blob = await open(digest);
    if (!blob) throw new Error(`${digest} is not in the store right after it was put there`);
    this.#place = { kind: 'stored', blob };
    await partial[Symbol.asyncDispose]();
  }

  /** Forgets every byte, on disk too. */
  discard(): Promise<void> {
    return (this.#ending ??= this.#discard());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#ending ??= this.#close());
  }

  async #discard(): Promise<void> {
    await Promise.all(this.#writes);
    this.#forgetCached();
    if (this.#place?.kind === 'partial') await this.#place.blob.discard();
    else await this.#place?.blob[Symbol.asyncDispose]();
    this.#place = undefined;
    this.#overflow = new Map();
  }

  async #close(): Promise<void> {
    await Promise.all(this.#writes);
    // A download that the disk was too small for only takes up room that others could use.
    if (this.#overflow) return this.#discard();
    this.#forgetCached();
    await this.#place?.blob[Symbol.asyncDispose]();
    this.#place = undefined;
    this.#overflow = new Map();
  }

  #write(index: number, memory: PieceMemory, blob: PartialBlob): void {
    const key = this.#cacheKey(index);
    const { data } = memory.retain();
    this.#provenAt[index] = this.#writtenAt[index] = -Infinity;
    this.#uncompared.delete(index);
    this.#cache.put(key, memory, { unwritten: true, awaited: this.awaited(index) });
    this.#unwritten += data.length;
    this.#backlog.bytes += data.length;
    const write = blob
      .write(index * pieceLength(this.#size), data)
      .then(() => {
        if (!this.#spoils) this.#writtenAt[index] = this.#now();
      })
      .catch((error: unknown) => this.#overflowed(index, memory.retain(), error))
      .finally(() => {
        this.#writes.delete(write);
        this.#unwritten -= data.length;
        this.#backlog.bytes -= data.length;
        this.#cache.written(key, memory);
        memory.release();
      });
    this.#writes.add(write);
  }

  /** The disk takes no more: what it has stays readable, this piece and those to come stay in memory. */
  #overflowed(index: number, memory: PieceMemory, error: unknown): void {
    const first = this.#overflow === undefined;
    this.#overflow ??= new Map();
    this.#keepInMemory(index, memory);
    if (first) this.#onFull(error);
  }

  #keepInMemory(index: number, memory: PieceMemory): void {
    const kept = this.#overflow!;
    this.release(index);
    kept.set(index, memory);
    this.#uncompared.delete(index);
    this.#overflowBytes += memory.data.length;
    for (const oldest of kept.keys()) {
      if (this.#overflowBytes <= MAX_UNSTORED_BYTES || oldest === index) return;
      this.release(oldest);
      this.onGone?.(oldest);
    }
  }

  /** Still the cache's or the overflow's: who keeps it retains it. */
  #inMemory(index: number): PieceMemory | undefined {
    return this.#overflow?.get(index) ?? this.#cache.get(this.#cacheKey(index));
  }

  /** The whole piece, which is kept for those who ask next. */
  async #fromDisk(
    index: number,
    { compare, awaited }: { compare: boolean; awaited: boolean },
  ): Promise<PieceMemory> {
    const place = this.#place;
    if (!compare) this.#uncompared.add(index);
    const memory = await this.#pool.filled(sizeOfPiece(this.#size, index), async (target) => {
      await this.#load(place, index, 0, target);
      if (compare && this.#compare(place, index, target)) {
        this.#uncompared.delete(index);
        if (place === this.#place) this.#provenAt[index] = this.#now();
      }
    });
    // Another read may have been compared meanwhile.
    if (!compare) this.#uncompared.add(index);
    // Once the storage ends, nobody would take it out again.
    if (!this.#ending) this.#cache.put(this.#cacheKey(index), memory.retain(), { unwritten: false, awaited });
    return memory;
  }

  /** Where it is not what was put, the cache forgets it: the piece is fetched anew. */
  async #comparedInMemory(index: number, memory: PieceMemory): Promise<PieceMemory> {
    try {
      if (this.#compare(this.#place, index, memory.data)) this.#uncompared.delete(index);
      return memory;
    } catch (error) {
      this.#cache.delete(this.#cacheKey(index));
      memory.release();
      throw error;
    }
  }

  /**
   * A peer that got bytes of a bad disk would take this process for a liar, and a reader would be given them.
   * @returns whether there is something to compare with
   */
  #compare(place: PiecePlace, index: number, data: Buffer): boolean {
    const matches = this.compare(index, data);
    if (matches !== false) return matches ?? false;
    this.#spoils = true;
    this.#distrust();
    return refuseDamaged(index, place?.kind === 'stored' ? place.blob : undefined);
  }

  /** What was written is compared before it goes to anybody. */
  #distrust(): void {
    this.#provenAt.fill(-Infinity);
    this.#writtenAt.fill(-Infinity);
  }

  async #load(place: PiecePlace, index: number, offset: number, target: Buffer): Promise<void> {
    if (!place) throw new Error(`piece ${index} is not in memory any more`);
    await place.blob.read(index * pieceLength(this.#size) + offset, target);
  }

  #forgetCached(): void {
    for (let index = 0; index < pieceCount(this.#size); index++) this.#cache.delete(this.#cacheKey(index));
  }

  #cacheKey(index: number): string {
    return `${this.#key} ${index}`;
  }
}

function lend(memory: PieceMemory, offset: number, length: number): PieceBytes {
  return { bytes: memory.data.subarray(offset, offset + length), memory };
}

import { chainOf } from '#swarm/hashes/digest-chain.ts';
import type { PieceMemory } from '#swarm/session/piece-memory.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { BATCH_BYTES, BATCH_LEAST_MS, BATCH_MOST_MS, BATCH_SHARE, LAST_PIECES } from './defaults.ts';
import type { HashSigner } from './hash-signer.ts';

interface Piece {
  readonly index: number;
  readonly memory: PieceMemory;
  /** Of the digest's chain: before the piece and after it. */
  readonly before: Buffer;
  readonly after: Buffer;
}

/**
 * Makes pieces of a stream of a blob's bytes, signs their hashes in small batches and hands both to the torrent:
 * a piece moves between agents a tenth of a second after its last byte came at the latest, and sooner at the start of
 * the read and the end of the blob.
 */
export class PieceFeed implements Disposable {
  readonly #torrent: Torrent;
  readonly #signer: HashSigner;
  readonly #now: () => number;
  #index: number;
  /** Of the digest's chain, before the piece. */
  #link: Buffer;
  #memory: PieceMemory;
  #filled = 0;
  /** Consecutive pieces whose batch is not signed yet. */
  #waiting: Piece[] = [];
  #timer: NodeJS.Timeout | undefined;
  readonly #startedAt: number;
  #signedAt = -Infinity;
  #failure: unknown;
  readonly #onSupplied: (index: number) => void;

  /**
   * @param parts.now milliseconds, monotonic
   * @param first index of the piece that the first byte belongs to; the link before it is known
   */
  constructor(
    parts: { torrent: Torrent; signer: HashSigner; now: () => number; onSupplied: (index: number) => void },
    first: number,
  ) {
    this.#torrent = parts.torrent;
    this.#signer = parts.signer;
    this.#now = parts.now;
    this.#startedAt = parts.now();
    this.#onSupplied = parts.onSupplied;
    const link = this.#torrent.pieces.link(first);
    if (link === undefined) throw new RangeError(`the link before piece ${first} is not known`);
    this.#link = link;
    this.#index = first;
    this.#memory = this.#torrent.pieces.room(first);
  }

  /** The piece that the next byte belongs to. */
  get index(): number {
    return this.#index;
  }

  /** @throws DigestMismatchError when the bytes contradict hashes that an origin has signed before */
  push(chunk: Buffer): void {
    if (this.#failure !== undefined) throw this.#failure;
    for (let at = 0; at < chunk.length;) {
      const { data } = this.#memory;
      const taken = Math.min(chunk.length - at, data.length - this.#filled);
      chunk.copy(data, this.#filled, at, at + taken);
      at += taken;
      this.#filled += taken;
      if (this.#filled === data.length) this.#complete();
    }
  }

  /** Signs and hands over what waits. @throws as `push` */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#failure !== undefined) throw this.#failure;
    const pieces = this.#waiting.splice(0);
    const [first] = pieces;
    if (first === undefined) return;
    this.#signedAt = this.#now();
    const links = [first.before, ...pieces.map(({ after }) => after)];
    this.#torrent.batches.add(this.#signer.sign(this.#torrent, this.#torrent.scope, first.index, links));
    for (const { index, memory, after } of pieces) {
      this.#torrent.supply(index, memory, after);
      this.#onSupplied(index);
    }
  }

  /** Signs what waits, so that it is kept also where the read was broken off. */
  [Symbol.dispose](): void {
    this.#tryFlush();
    this.#memory.release();
    for (const { memory } of this.#waiting.splice(0)) memory.release();
  }

  #complete(): void {
    const index = this.#index++;
    const memory = this.#memory;
    const { digest, size, pieces } = this.#torrent;
    this.#filled = 0;
    this.#memory = pieces.room(Math.min(this.#index, pieces.table.count - 1));
    const before = this.#link;
    const held = pieces.table.held.has(index) ? pieces.link(this.#index) : undefined;
    const place = { position: index * pieces.table.pieceLength, size };
    const after = (this.#link = held ?? chainOf(digest).next(before, memory.data, place));
    if (pieces.table.held.has(index)) {
      // It came from a peer meanwhile.
      memory.release();
      return this.flush();
    }
    this.#waiting.push({ index, memory, before, after });
    const now = this.#now();
    const untilNext = this.#signedAt + this.#betweenMs(index, now) - now;
    if (untilNext <= 0 || this.#waiting.length * pieces.table.pieceLength >= BATCH_BYTES) return this.flush();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tryFlush(), untilNext);
  }

  #betweenMs(index: number, now: number): number {
    if (this.#torrent.pieces.table.count - index <= LAST_PIECES) return BATCH_LEAST_MS;
    const share = (now - this.#startedAt) * BATCH_SHARE;
    return Math.max(BATCH_LEAST_MS, Math.min(BATCH_MOST_MS, share));
  }

  #tryFlush(): void {
    try {
      this.flush();
    } catch (error) {
      this.#failure = error;
    }
  }
}

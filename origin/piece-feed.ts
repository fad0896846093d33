import { createHash } from 'node:crypto';
import { pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { BATCH_MS, BATCH_PIECES } from './defaults.ts';
import type { HashSigner } from './hash-signer.ts';

interface Piece {
  readonly index: number;
  readonly data: Buffer;
  readonly hash: Buffer;
}

/**
 * Makes pieces of a stream of a blob's bytes, signs their hashes in small batches and hands both to the torrent:
 * a piece moves between agents some milliseconds after its last byte came.
 */
export class PieceFeed implements Disposable {
  readonly #torrent: Torrent;
  readonly #signer: HashSigner;
  #index: number;
  #data: Buffer;
  #filled = 0;
  /** Consecutive pieces whose batch is not signed yet. */
  #waiting: Piece[] = [];
  #timer: NodeJS.Timeout | undefined;
  #failure: unknown;
  readonly #onSupplied: (index: number) => void;

  /** @param first index of the piece that the first byte belongs to */
  constructor(
    parts: { torrent: Torrent; signer: HashSigner; onSupplied: (index: number) => void },
    first: number,
  ) {
    this.#torrent = parts.torrent;
    this.#signer = parts.signer;
    this.#onSupplied = parts.onSupplied;
    this.#index = first;
    this.#data = this.#room();
  }

  /** The piece that the next byte belongs to. */
  get index(): number {
    return this.#index;
  }

  /** @throws DigestMismatchError when the bytes contradict hashes that an origin has signed before */
  push(chunk: Buffer): void {
    if (this.#failure !== undefined) throw this.#failure;
    for (let at = 0; at < chunk.length;) {
      const taken = Math.min(chunk.length - at, this.#data.length - this.#filled);
      chunk.copy(this.#data, this.#filled, at, at + taken);
      at += taken;
      this.#filled += taken;
      if (this.#filled === this.#data.length) this.#complete();
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
    const hashes = pieces.map(({ hash }) => hash);
    this.#torrent.addBatch(this.#signer.sign(this.#torrent, this.#torrent.scope, first.index, hashes));
    for (const { index, data } of pieces) {
      this.#torrent.supply(index, data);
      this.#onSupplied(index);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #complete(): void {
    const index = this.#index++;
    const data = this.#data;
    this.#filled = 0;
    this.#data = this.#room();
    // It came from a peer meanwhile.
    if (this.#torrent.pieces.table.held.has(index)) return this.flush();
    this.#waiting.push({ index, data, hash: createHash('sha256').update(data).digest() });
    if (this.#waiting.length >= BATCH_PIECES) this.flush();
    else this.#timer ??= setTimeout(() => this.#flushLate(), BATCH_MS);
  }

  #flushLate(): void {
    try {
      this.flush();
    } catch (error) {
      this.#failure = error;
    }
  }

  /** Memory of its own: the torrent keeps the buffer. */
  #room(): Buffer {
    const { size } = this.#torrent;
    const isPast = this.#index * pieceLength(size) >= size;
    return Buffer.allocUnsafeSlow(isPast ? 0 : sizeOfPiece(size, this.#index));
  }
}

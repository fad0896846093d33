import type { Hash } from 'node:crypto';
import { type Digest, digestHash, digestHex } from '#registry/digest.ts';
import type { PieceBytes } from './piece-memory.ts';

/** What the check reads from: pieces in order, as soon as each is there. */
export interface PieceSource {
  readonly count: number;
  has(index: number): boolean;
  /** A piece that is there, lent; at once when it is in memory. */
  piece(index: number): PieceBytes | Promise<PieceBytes>;
  /** The piece has been hashed: `next` is beyond it. */
  hashed(index: number): void;
}

/** Hashes a blob's pieces in order while they come, to tell at the end whether the whole is what its digest says. */
export class DigestCheck {
  readonly #digest: Digest;
  readonly #hash: Hash;
  readonly #source: PieceSource;
  #next = 0;
  #running = false;
  #matches: boolean | undefined;

  constructor(digest: Digest, source: PieceSource) {
    this.#digest = digest;
    this.#hash = digestHash(digest);
    this.#source = source;
  }

  /** The next piece to be hashed: those before it have been. */
  get next(): number {
    return this.#next;
  }

  /** Hashes on as far as there are pieces. True or false once the whole is through, undefined before. */
  async advance(): Promise<boolean | undefined> {
    if (this.#running) return undefined;
    this.#running = true;
    try {
      while (this.#next < this.#source.count && this.#source.has(this.#next)) {
        const piece = this.#source.piece(this.#next);
        const { bytes, memory } = piece instanceof Promise ? await piece : piece;
        this.#hash.update(bytes);
        memory.release();
        this.#source.hashed(this.#next++);
      }
    } finally {
      this.#running = false;
    }
    if (this.#next < this.#source.count) return undefined;
    this.#matches ??= this.#hash.digest('hex') === digestHex(this.#digest);
    return this.#matches;
  }
}

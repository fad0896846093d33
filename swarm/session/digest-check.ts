import { type Digest, digestHex } from '#registry/digest.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import { chainOf, type DigestChain } from '#swarm/hashes/digest-chain.ts';
import type { PieceBytes } from './piece-memory.ts';

/** What the check reads from: pieces in order, as soon as each is there. */
export interface PieceSource {
  readonly count: number;
  has(index: number): boolean;
  /** The links at the piece's ends, where its bytes matched them when they came. */
  proof(index: number): { readonly before: Buffer; readonly after: Buffer } | undefined;
  /** A piece that is there, lent; at once when it is in memory. */
  piece(index: number): PieceBytes | Promise<PieceBytes>;
  /** The check is through the piece: `next` is beyond it. */
  passed(index: number, link: Buffer): void;
}

/**
 * Follows the chain of a blob's digest through its pieces in order, to tell at the end whether the whole is what its
 * digest says. Only pieces whose bytes were not proven when they came are read for it.
 */
export class DigestCheck {
  readonly #chain: DigestChain;
  readonly #size: number;
  readonly #source: PieceSource;
  readonly #digest: Buffer;
  #link: Buffer;
  #next = 0;
  #running = false;
  #isBroken = false;

  constructor(blob: { digest: Digest; size: number }, source: PieceSource) {
    this.#chain = chainOf(blob.digest);
    this.#digest = Buffer.from(digestHex(blob.digest), 'hex');
    this.#size = blob.size;
    this.#source = source;
    this.#link = this.#chain.start;
    // An empty message is padded all the same.
    if (blob.size === 0) this.#link = this.#chain.next(this.#link, Buffer.alloc(0), { position: 0, size: 0 });
  }

  /** The next piece to be passed. */
  get next(): number {
    return this.#next;
  }

  /** The link before it. */
  get link(): Buffer {
    return this.#link;
  }

  /** Goes on as far as there are pieces. True or false once the whole is through, undefined before. */
  async advance(): Promise<boolean | undefined> {
    if (this.#running) return undefined;
    this.#running = true;
    try {
      while (!this.#isBroken && this.#next < this.#source.count && this.#source.has(this.#next))
        this.#follow(this.#source.proof(this.#next) ?? (await this.#read(this.#next)));
    } finally {
      this.#running = false;
    }
    if (this.#isBroken) return false;
    return this.#next < this.#source.count ? undefined : this.#link.equals(this.#digest);
  }

  #follow({ before, after }: { before: Buffer; after: Buffer }): void {
    // What came before it is not what whoever signed its links has read.
    this.#isBroken = !before.equals(this.#link);
    if (this.#isBroken) return;
    this.#link = after;
    this.#source.passed(this.#next++, after);
  }

  async #read(index: number): Promise<{ before: Buffer; after: Buffer }> {
    const { bytes, memory } = await this.#source.piece(index);
    try {
      const place = { position: index * pieceLength(this.#size), size: this.#size };
      return { before: this.#link, after: this.#chain.next(this.#link, bytes, place) };
    } finally {
      memory.release();
    }
  }
}

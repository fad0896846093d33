import { type Digest, digestHex } from '#registry/digest.ts';
import { batchCount, type HashBatch, VERIFIED } from '#swarm/hashes/batch.ts';
import { chainOf, type DigestChain } from '#swarm/hashes/digest-chain.ts';
import { pieceCount, pieceLength } from '#swarm/core/piece-length.ts';

interface SignedBatch {
  readonly first: number;
  readonly count: number;
  readonly signed: Uint8Array;
}

/**
 * The signed links of one blob's chain, by which its pieces are told from other bytes, and the batches they came in,
 * which any peer may pass on. A later batch never changes a link that is known; one of the verified scope takes the place of
 * those of a registry, for it is good for everybody.
 */
export class HashTable {
  readonly size: number;
  readonly #chain: DigestChain;
  /** The link before each piece, and the digest at the end. */
  readonly #links: Buffer;
  /** Per piece: whether the links at both its ends are known. */
  readonly #known: Uint8Array;
  /** Pieces that a batch of the verified scope covers. */
  readonly #vouched: Uint8Array;
  readonly #batches: SignedBatch[] = [];
  readonly #verified: SignedBatch[] = [];
  #count = 0;

  constructor({ digest, size }: { digest: Digest; size: number }) {
    this.size = size;
    this.#chain = chainOf(digest);
    this.#known = new Uint8Array(pieceCount(size));
    this.#vouched = new Uint8Array(this.#known.length);
    this.#links = Buffer.alloc((this.#known.length + 1) * this.#chain.width);
    this.#set(0, this.#chain.start);
    this.#set(this.#known.length, Buffer.from(digestHex(digest), 'hex'));
    // The one piece of a small blob is the blob: it needs no signature.
    if (this.#known.length === 1) this.#count = this.#known[0] = 1;
  }

  get complete(): boolean {
    return this.#count === this.#known.length;
  }

  /** An origin has signed some of them, and the blob's size with them. */
  get any(): boolean {
    return this.#batches.length + this.#verified.length > 0;
  }

  /** Whether the bytes of piece `index` can be told from others. */
  has(index: number): boolean {
    return this.#known[index] === 1;
  }

  /** The link before piece `index`, or after the one before it; undefined while no signed batch has told it. */
  link(index: number): Buffer | undefined {
    const isEnd = index === 0 || index === this.#known.length;
    return isEnd || this.has(index - 1) || this.has(index) ? this.#at(index) : undefined;
  }

  /** Whether these are the bytes of piece `index`, of which the links are known. */
  matches(index: number, data: Uint8Array): boolean {
    const place = { position: index * pieceLength(this.size), size: this.size };
    return this.#chain.next(this.#at(index), data, place).equals(this.#at(index + 1));
  }

  /**
   * Takes in a batch whose signature is good. `fits`: it speaks of a blob of this size, cut like ours, and does
   * not contradict a known link. `fresh`: the pieces whose links were not known. `vouches`: it is of the
   * verified scope and none before it was, for some of its pieces.
   */
  add(batch: HashBatch, signed: Uint8Array): { fits: boolean; fresh: number[]; vouches: boolean } {
    const count = batchCount(batch);
    const { first } = batch;
    const fits =
      batch.size === this.size &&
      batch.pieceLength === pieceLength(this.size) &&
      first + count <= this.#known.length &&
      !this.#contradicts(batch, count);
    if (!fits) return { fits, fresh: [], vouches: false };
    const fresh: number[] = [];
    batch.links.copy(this.#links, first * this.#chain.width);
    for (let index = first; index < first + count; index++) {
      if (this.has(index)) continue;
      fresh.push(index);
      this.#known[index] = 1;
    }
    this.#count += fresh.length;
    const vouches = batch.scope === VERIFIED && this.#vouch(first, count);
    if (vouches || fresh.length > 0)
      (vouches ? this.#verified : this.#batches).push({ first, count, signed });
    return { fits, fresh, vouches };
  }

  /**
   * The signed batches that cover piece `index`, as they came: one of the verified scope, and one of the registry's,
   * as far as there are. Who asks may trust only either.
   */
  batchesFor(index: number): Uint8Array[] {
    const covers = ({ first, count }: SignedBatch): boolean => index >= first && index < first + count;
    return [this.#verified.find(covers), this.#batches.find(covers)].flatMap((batch) => batch?.signed ?? []);
  }

  #at(index: number): Buffer {
    const { width } = this.#chain;
    return this.#links.subarray(index * width, (index + 1) * width);
  }

  #set(index: number, link: Buffer): void {
    link.copy(this.#links, index * this.#chain.width);
  }

  /** True if some of these pieces were not covered by the verified scope before. */
  #vouch(first: number, count: number): boolean {
    const covered = this.#vouched.subarray(first, first + count);
    const news = covered.includes(0);
    covered.fill(1);
    return news;
  }

  #contradicts({ first, links }: HashBatch, count: number): boolean {
    const { width } = this.#chain;
    for (let at = 0; at <= count; at++) {
      const known = this.link(first + at);
      if (known && known.compare(links, at * width, (at + 1) * width) !== 0) return true;
    }
    return false;
  }
}

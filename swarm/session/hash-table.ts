import { type Digest, digestAlgorithm, digestHex } from '#registry/digest.ts';
import { type HashBatch, VERIFIED } from '#swarm/hashes/batch.ts';
import { pieceCount, pieceLength } from '#swarm/core/piece-length.ts';

interface SignedBatch {
  readonly first: number;
  readonly count: number;
  readonly signed: Uint8Array;
}

/** Bytes of a SHA-256. */
const HASH_LENGTH = 32;

/**
 * The signed piece hashes of one blob, and the batches they came in, which any peer may pass on. A later batch
 * never changes a hash that is known; one of the verified scope takes the place of those of a registry, for it
 * is good for everybody.
 */
export class HashTable {
  readonly size: number;
  readonly #hashes: Buffer;
  readonly #known: Uint8Array;
  /** Pieces that a batch of the verified scope covers. */
  readonly #vouched: Uint8Array;
  readonly #batches: SignedBatch[] = [];
  readonly #verified: SignedBatch[] = [];
  #count = 0;

  constructor({ digest, size }: { digest: Digest; size: number }) {
    this.size = size;
    this.#known = new Uint8Array(pieceCount(size));
    this.#vouched = new Uint8Array(this.#known.length);
    this.#hashes = Buffer.alloc(this.#known.length * HASH_LENGTH);
    // The one piece of a small blob is the blob, and its hash the digest: it needs no signature.
    if (this.#known.length === 1 && digestAlgorithm(digest) === 'sha256')
      this.#set(0, Buffer.from(digestHex(digest), 'hex'));
  }

  get complete(): boolean {
    return this.#count === this.#known.length;
  }

  /** An origin has signed some of them, and the blob's size with them. */
  get any(): boolean {
    return this.#batches.length + this.#verified.length > 0;
  }

  has(index: number): boolean {
    return this.#known[index] === 1;
  }

  /** SHA-256 of piece `index`, 32 bytes; undefined while no signed batch has told it. */
  get(index: number): Buffer | undefined {
    if (!this.has(index)) return undefined;
    return this.#hashes.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH);
  }

  /**
   * Takes in a batch whose signature is good. `fits`: it speaks of a blob of this size, cut like ours, and does
   * not contradict a known hash. `fresh`: the piece indices whose hash was not known. `vouches`: it is of the
   * verified scope and none before it was, for some of its pieces.
   */
  add(batch: HashBatch, signed: Uint8Array): { fits: boolean; fresh: number[]; vouches: boolean } {
    const count = batch.hashes.length / HASH_LENGTH;
    const fits =
      batch.size === this.size &&
      batch.pieceLength === pieceLength(this.size) &&
      batch.first + count <= this.#known.length &&
      !this.#contradicts(batch, count);
    if (!fits) return { fits, fresh: [], vouches: false };
    const fresh: number[] = [];
    for (let at = 0; at < count; at++) {
      const index = batch.first + at;
      if (this.has(index)) continue;
      fresh.push(index);
      this.#set(index, batch.hashes.subarray(at * HASH_LENGTH, (at + 1) * HASH_LENGTH));
    }
    const vouches = batch.scope === VERIFIED && this.#vouch(batch.first, count);
    if (vouches || fresh.length > 0)
      (vouches ? this.#verified : this.#batches).push({ first: batch.first, count, signed });
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

  #set(index: number, hash: Buffer): void {
    this.#count++;
    this.#known[index] = 1;
    hash.copy(this.#hashes, index * HASH_LENGTH);
  }

  /** True if some of these pieces were not covered by the verified scope before. */
  #vouch(first: number, count: number): boolean {
    const covered = this.#vouched.subarray(first, first + count);
    const news = covered.includes(0);
    covered.fill(1);
    return news;
  }

  #contradicts(batch: HashBatch, count: number): boolean {
    for (let at = 0; at < count; at++) {
      const known = this.get(batch.first + at);
      if (known && known.compare(batch.hashes, at * HASH_LENGTH, (at + 1) * HASH_LENGTH) !== 0) return true;
    }
    return false;
  }
}

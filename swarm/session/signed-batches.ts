import type { Digest } from '#registry/digest.ts';
import { BatchError, type HashBatch, VERIFIED } from '#swarm/hashes/batch.ts';
import { MAX_SPARE_BATCHES } from './defaults.ts';
import { DigestMismatchError } from './errors.ts';

interface SignedBatchParts {
  /** Opens a batch. @throws BatchError where no trusted origin signed it */
  open(signed: Uint8Array): HashBatch;
  /** Takes its hashes in; false where they contradict what is known of the blob. */
  learn(batch: HashBatch, signed: Uint8Array): boolean;
}

interface SpareBatch {
  readonly batch: HashBatch;
  readonly signed: Uint8Array;
}

/**
 * Which of the piece hashes that trusted origins signed for a blob count: those of the scopes that are believed here. A batch
 * that speaks of the blob as another registry delivered it is of no use. One of the verified scope is kept until that is
 * believed too: it is once the whole is verified here, if not before.
 */
export class SignedBatches {
  readonly #digest: Digest;
  readonly #believed: Set<string>;
  readonly #parts: SignedBatchParts;
  /** Of the verified scope, while that is not believed. */
  readonly #spare: SpareBatch[] = [];

  /** @param scope is believed from the first */
  constructor({ digest, scope }: { digest: Digest; scope: string }, parts: SignedBatchParts) {
    this.#digest = digest;
    this.#believed = new Set([scope]);
    this.#parts = parts;
  }

  /** What origins signed under this scope counts too. */
  believe(scope: string): void {
    this.#believed.add(scope);
    if (!this.#believed.has(VERIFIED)) return;
    // One that contradicts a signed hash is of no use, and is ignored: what was signed first counts.
    for (const { batch, signed } of this.#spare.splice(0)) this.#parts.learn(batch, signed);
  }

  /** A batch from an origin or a peer, kept and passed on to peers that ask. @throws BatchError, DigestMismatchError */
  add(signed: Uint8Array): void {
    const batch = this.#open(signed);
    if (this.#believed.has(batch.scope)) return this.#learn(batch, signed);
    const isSpare = batch.scope === VERIFIED && this.#spare.length < MAX_SPARE_BATCHES;
    if (isSpare && !this.#spare.some((kept) => Buffer.compare(kept.signed, signed) === 0))
      this.#spare.push({ batch, signed });
  }

  /** A batch that counts whatever its scope: it was kept with the blob's bytes. @throws BatchError, DigestMismatchError */
  recall(signed: Uint8Array): void {
    this.#learn(this.#open(signed), signed);
  }

  #open(signed: Uint8Array): HashBatch {
    const batch = this.#parts.open(signed);
    if (batch.digest !== this.#digest)
      throw new BatchError(`a batch for ${batch.digest} came for ${this.#digest}`);
    return batch;
  }

  #learn(batch: HashBatch, signed: Uint8Array): void {
    if (this.#parts.learn(batch, signed)) return;
    throw new DigestMismatchError(
      this.#digest,
      new Error('a signed batch speaks of another size or other pieces'),
    );
  }
}

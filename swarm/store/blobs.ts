import type { Digest } from '#registry/digest.ts';
import type { Facts } from './facts.ts';

/** A complete blob, opened. It cannot be evicted until it is disposed of. */
export interface StoredBlob extends AsyncDisposable {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Fills the target with the bytes from `position` on. @throws StoreError outside the blob, BlobDamagedError when the disk has lost them: then the store has dropped the blob */
  read(position: number, target: Uint8Array): Promise<void>;
  /**
   * What was read of it is proved not to be what was stored: the store does not have it from now on. Who has it open can
   * still read the rest.
   */
  drop(reason: Error): void;
  /** The signed hash batches that came with it, opaque, in the order of their appending. */
  batches(): Promise<Uint8Array[]>;
}

/**
 * A blob that is being written: a sparse file of its full size and the signed hash batches that prove its pieces.
 * What was written survives the process, but which pieces were, or whether each reached the disk before a power
 * failure, is not recorded: who resumes verifies each piece by its hash, and reads zeros where nothing was written.
 * Disposing of it keeps it for resumption, if anything was written.
 */
export interface PartialBlob extends AsyncDisposable {
  /** In bytes, reserved in the quota while it is held. */
  readonly size: number;
  /** True when an earlier holder's bytes and batches were found. */
  readonly resumed: boolean;
  /** Also after `commit`, until it is disposed of. */
  read(position: number, target: Uint8Array): Promise<void>;
  /** @throws StoreFullError when the disk is full and nothing can be evicted; what is written stays usable */
  write(position: number, data: Uint8Array): Promise<void>;
  batches(): Promise<Uint8Array[]>;
  /** 1 byte to 256 KiB; 64 MiB in all. @throws StoreFullError, StoreError */
  appendBatch(bytes: Uint8Array): Promise<void>;
  /**
   * Makes it a complete blob, batches along, once every write has settled. The caller has verified the whole against
   * the digest. Where the store has the blob by now, that one stays and learns the facts. A failed commit leaves a
   * partial blob. It stays readable, and pinned, until it is disposed of.
   * @returns whether the bytes that were written here are the complete blob's now
   */
  commit(facts: Partial<Facts>): Promise<boolean>;
  /** Ends it and removes what was written; what was committed stays. */
  discard(): Promise<void>;
}

/** Which partial blob: reads from different registries do not mix before the whole is verified. */
export interface PartialKey {
  readonly digest: Digest;
  /** `verified` or a registry's name. */
  readonly scope: string;
}

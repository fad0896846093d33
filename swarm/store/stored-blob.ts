import path from 'node:path';
import type { Digest } from '#registry/digest.ts';
import { BatchLog } from './batch-log.ts';
import type { StoredBlob } from './blobs.ts';
import type { Lease } from './complete-blobs.ts';
import { checkRange } from './data-file.ts';
import { BlobDamagedError, StoreError } from './errors.ts';
import { BATCHES_FILE } from './layout.ts';

/** A leased blob. */
export class OpenBlob implements StoredBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly #lease: Lease;
  readonly #log: BatchLog;
  #open = true;

  constructor(lease: Lease, directory: string) {
    this.digest = lease.entry.digest;
    this.size = lease.entry.size;
    this.#lease = lease;
    this.#log = new BatchLog(path.join(directory, BATCHES_FILE));
  }

  async read(position: number, target: Uint8Array): Promise<void> {
    if (!this.#open) throw new StoreError('the blob is closed');
    checkRange(this.size, position, target.byteLength);
    try {
      await this.#lease.file.read(position, target);
    } catch (error) {
      if (error instanceof BlobDamagedError) this.drop(error);
      throw error;
    }
  }

  drop(reason: Error): void {
    this.#lease.drop(reason);
  }

  async batches(): Promise<Uint8Array[]> {
    if (!this.#open) throw new StoreError('the blob is closed');
    return this.#log.batches();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#lease.release();
  }
}

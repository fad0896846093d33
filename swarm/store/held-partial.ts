import path from 'node:path';
import type { Digest } from '#registry/digest.ts';
import { BatchLog } from './batch-log.ts';
import type { PartialBlob } from './blobs.ts';
import type { CompleteBlobs, Lease } from './complete-blobs.ts';
import { allocatedBytes, checkRange, type DataFile, type WriteAt } from './data-file.ts';
import { syncDirectory, writeSynced } from './durable-files.ts';
import { StoreError } from './errors.ts';
import { encodeFacts, mergeFacts, NO_FACTS, type Facts } from './facts.ts';
import { BATCHES_FILE, FACTS_FILE } from './layout.ts';
import type { Limiter } from './limiter.ts';
import type { Room } from './room.ts';

export interface HeldPartialParts {
  readonly directory: string;
  /** Where it will lie once it is complete. */
  readonly blobDirectory: string;
  readonly complete: CompleteBlobs;
  readonly room: Room;
  readonly flushes: Limiter;
  readonly writeAt: WriteAt;
  readonly now: () => number;
  /** Nobody holds it any more; that many bytes of it stay on disk. */
  keep(bytes: number): Promise<void>;
  remove(): Promise<unknown>;
  /** The directory and its charge are a complete blob's now. */
  committed(): void;
  released(partial: HeldPartial): void;
}

/** `gone`: kept, discarded, or replaced by the store's own copy. */
type State = 'writing' | 'committing' | 'complete' | 'gone';

export class HeldPartial implements PartialBlob {
  readonly digest: Digest;
  readonly scope: string;
  readonly size: number;
  readonly resumed: boolean;
  readonly #parts: HeldPartialParts;
  #log: BatchLog;
  #file: DataFile;
  #lease: Lease | undefined;
  #state: State = 'writing';
  #written: boolean;
  #ending: Promise<unknown> | undefined;

  constructor(
    parts: HeldPartialParts,
    blob: { digest: Digest; scope: string; size: number; file: DataFile; resumed: boolean },
  ) {
    this.#parts = parts;
    this.digest = blob.digest;
    this.scope = blob.scope;
    this.size = blob.size;
    this.resumed = blob.resumed;
    this.#written = blob.resumed;
    this.#file = blob.file;
    this.#log = new BatchLog(path.join(parts.directory, BATCHES_FILE), parts.writeAt);
  }

  async read(position: number, target: Uint8Array): Promise<void> {
    this.#expectHeld();
    checkRange(this.size, position, target.byteLength);
    await this.#file.read(position, target);
  }

  async write(position: number, data: Uint8Array): Promise<void> {
    this.#expect('writing');
    checkRange(this.size, position, data.byteLength);
    this.#written = true;
    await this.#parts.room.retryWhenDiskFull(data.byteLength, () => this.#file.write(position, data));
  }

  async batches(): Promise<Uint8Array[]> {
    this.#expectHeld();
    return this.#log.batches();
  }

  async appendBatch(bytes: Uint8Array): Promise<void> {
    this.#expect('writing');
    this.#written = true;
    await this.#parts.room.retryWhenDiskFull(bytes.byteLength, () => this.#log.append(bytes));
  }

  async commit(facts: Partial<Facts>): Promise<boolean> {
    this.#expect('writing');
    this.#state = 'committing';
    const committing = this.#commit(facts);
    this.#ending = committing;
    try {
      return await committing;
    } finally {
      this.#ending = undefined;
    }
  }

  async #commit(facts: Partial<Facts>): Promise<boolean> {
    const { complete, directory, room } = this.#parts;
    try {
      await this.#file.touch(this.#parts.now());
      await this.#flush();
      const text = encodeFacts(this.size, mergeFacts(NO_FACTS, facts));
      await room.retryWhenDiskFull(text.length, () => writeSynced(path.join(directory, FACTS_FILE), text));
      await syncDirectory(directory);
      const installed = await complete.install({ ...this.#blob(), facts, directory });
      if (typeof installed === 'boolean') {
        await this.#yieldToStored();
        return false;
      }
      this.#adopt(installed);
      this.#parts.committed();
      return true;
    } catch (error) {
      if (this.#state === 'committing') this.#state = 'writing';
      throw error;
    }
  }

  #blob(): { digest: Digest; size: number; file: DataFile } {
    return { digest: this.digest, size: this.size, file: this.#file };
  }

  /** Both flushes of a blob count as one: they are bounded together. */
  #flush(): Promise<void> {
    return this.#parts.flushes.run(async () => {
      await this.#file.sync();
      await this.#log.sync();
    });
  }

  #adopt(lease: Lease): void {
    this.#lease = lease;
    this.#state = 'complete';
    this.#log = new BatchLog(path.join(this.#parts.blobDirectory, BATCHES_FILE));
  }

  /** The store got the same blob another way: its copy is read from now on, this one goes. */
  async #yieldToStored(): Promise<void> {
    const lease = await this.#parts.complete.acquire(this.digest);
    if (!lease) throw new StoreError(`${this.digest} went from the store while it was committed`);
    const own = this.#file;
    this.#file = lease.file;
    this.#adopt(lease);
    await own.close();
    await this.#parts.remove();
  }

  async discard(): Promise<void> {
    await this.#ending?.catch(() => {});
    if (this.#state !== 'writing') return this[Symbol.asyncDispose]();
    await this.#end(async () => {
      await this.#file.close();
      await this.#parts.remove();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ending?.catch(() => {});
    if (this.#state === 'gone') return;
    const lease = this.#lease;
    await this.#end(() => (lease ? lease.release() : this.#keep()));
  }

  async #end(how: () => Promise<void>): Promise<void> {
    this.#state = 'gone';
    this.#ending = how();
    try {
      await this.#ending;
    } finally {
      this.#parts.released(this);
    }
  }

  async #keep(): Promise<void> {
    if (!this.#written) {
      await this.#file.close();
      await this.#parts.remove();
      return;
    }
    const bytes = await this.#allocated();
    await this.#file.close();
    await this.#parts.keep(bytes);
  }

  /** The bytes that the sparse file takes on disk. */
  async #allocated(): Promise<number> {
    try {
      await this.#file.touch(this.#parts.now());
      return allocatedBytes(await this.#file.stat());
    } catch {
      return this.size;
    }
  }

  #expectHeld(): void {
    if (this.#state === 'gone') throw new StoreError('the partial blob is closed');
  }

  #expect(state: State): void {
    this.#expectHeld();
    if (this.#state !== state) throw new StoreError(`the partial blob is ${this.#state}, not ${state}`);
  }
}

import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Digest } from '#registry/digest.ts';
import type { Background } from './background.ts';
import { blobEntry, BlobTable, type BlobEntry } from './blob-table.ts';
import { ACCESS_PERSIST_MS } from './constants.ts';
import type { DataFile } from './data-file.ts';
import { syncDirectory } from './durable-files.ts';
import { BlobDamagedError, errorCode, isLost, isMissing } from './errors.ts';
import { mergeFacts, NO_FACTS, type Facts } from './facts.ts';
import { FactsWriter } from './facts-writer.ts';
import { DATA_FILE, type Layout } from './layout.ts';
import type { KeyedLimiter } from './limiter.ts';
import type { Removed, Room } from './room.ts';
import { SharedFile } from './shared-file.ts';
import type { StoreLogger } from './store-logger.ts';
import { Verifier } from './verifier.ts';

/** A pinned blob and its open file; `release` is to be called exactly once. */
export interface Lease {
  readonly entry: BlobEntry;
  readonly file: DataFile;
  /** Its content is proved to be damaged: it leaves the table at once, and the disk when the last who has it open lets go. */
  drop(reason: Error): void;
  release(): Promise<void>;
}

export interface CompleteParts {
  readonly layout: Layout;
  readonly room: Room;
  readonly background: Background;
  /** Held while a blob's directory is renamed, or a file in it replaced. */
  readonly directories: KeyedLimiter<string>;
  readonly logger: StoreLogger;
  readonly now: () => number;
  /** The store does not have the digest any more. */
  onGone(digest: Digest): void;
}

/** What `install` makes a complete blob of: its own directory, flushed, with all its files. */
export interface Installation {
  readonly digest: Digest;
  readonly size: number;
  readonly directory: string;
  readonly facts: Partial<Facts>;
  /** The data file, where the caller has it open and wants a lease. */
  readonly file?: DataFile;
}

/** The complete blobs: opening, adding and removing them. */
export class CompleteBlobs {
  readonly table = new BlobTable();
  readonly #parts: CompleteParts;
  readonly #verifier = new Verifier();
  readonly #facts: FactsWriter;

  constructor(parts: CompleteParts) {
    this.#parts = parts;
    this.#facts = new FactsWriter({ ...parts, table: this.table });
  }

  /** Pins and opens a blob, verifying it where it is suspect; undefined when the store has no (sound) such blob. */
  async acquire(digest: Digest, signal?: AbortSignal): Promise<Lease | undefined> {
    signal?.throwIfAborted();
    const entry = this.table.get(digest);
    if (!entry) return undefined;
    const lease = this.#pin(entry);
    try {
      const file = await lease.file;
      await this.#prove(entry, file, signal);
      this.#touch(entry, file);
      return this.#lease(entry, file, lease.release);
    } catch (error) {
      await lease.release();
      if (!isLost(error)) throw error;
      this.#drop(entry, error);
      return undefined;
    }
  }

  #lease(entry: BlobEntry, file: DataFile, release: () => Promise<void>): Lease {
    return { entry, file, release, drop: (reason) => this.#drop(entry, reason) };
  }

  #pin(entry: BlobEntry): { file: Promise<DataFile>; release: () => Promise<void> } {
    entry.pins += 1;
    const shared = (entry.shared ??= SharedFile.open(this.#dataFile(entry.digest)));
    shared.hold();
    const release = async (): Promise<void> => {
      if (shared.letGo()) {
        if (entry.shared === shared) delete entry.shared;
        await shared.close();
      }
      // Only now: an unlinked file still takes room while it is open.
      entry.pins -= 1;
      if (entry.pins === 0) entry.onUnpinned?.();
    };
    return { file: shared.file, release };
  }

  async #prove(entry: BlobEntry, file: DataFile, signal?: AbortSignal): Promise<void> {
    const { size } = await file.stat();
    if (size !== entry.size) {
      throw new BlobDamagedError(`the file has ${size} bytes where ${entry.size} were stored`);
    }
    if (!entry.suspect) return;
    if (!(await this.#verifier.verify(entry.digest, entry.size, file, signal))) {
      throw new BlobDamagedError('the file does not match its digest');
    }
    entry.suspect = false;
  }

  #touch(entry: BlobEntry, file: DataFile): void {
    const now = this.#parts.now();
    this.table.touch(entry, now);
    if (Math.abs(now - entry.persistedAccess) < ACCESS_PERSIST_MS) return;
    entry.persistedAccess = now;
    this.#parts.background.start('writing the last access', () => file.touch(now));
  }

  /**
   * Renames a directory into place. False when the store has the blob already: that one learns the facts, and the
   * directory stays the caller's. The bytes are charged before and stay so.
   */
  async install(blob: Installation): Promise<Lease | boolean> {
    await this.settle(blob.digest);
    return this.#parts.directories.run(blob.digest, async () => {
      if (this.table.get(blob.digest)) {
        this.addFacts(blob.digest, blob.facts);
        return false;
      }
      await this.#renameIntoPlace(blob);
      const facts = mergeFacts(NO_FACTS, blob.facts);
      const entry = blobEntry(blob.digest, blob.size, facts, this.#parts.now());
      this.table.add(entry);
      if (!blob.file) return true;
      entry.shared = new SharedFile(Promise.resolve(blob.file));
      return this.#lease(entry, blob.file, this.#pin(entry).release);
    });
  }

  /** A suspect blob must not win over bytes that are known to be right: it proves itself, or goes. */
  async settle(digest: Digest): Promise<void> {
    if (!this.table.get(digest)?.suspect) return;
    const lease = await this.acquire(digest);
    await lease?.release();
  }

  async #renameIntoPlace(blob: Installation): Promise<void> {
    const { layout, logger } = this.#parts;
    const target = layout.blob(blob.digest);
    try {
      await rename(blob.directory, target);
    } catch (error) {
      const code = errorCode(error);
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
      // What lies there is in no table: it could not be removed, or somebody else put it there.
      const foreign = layout.nextTemporary();
      await rename(target, foreign);
      await rename(blob.directory, target);
      await rm(foreign, { recursive: true, force: true });
    }
    // The rename has happened: where the flush fails, the blob is merely not sure to outlive a power failure.
    await syncDirectory(layout.blobs).catch((error: unknown) => {
      logger.warn({ err: error }, 'the directory of blobs could not be flushed');
    });
  }

  addFacts(digest: Digest, facts: Partial<Facts>): void {
    const entry = this.table.get(digest);
    if (!entry) return;
    const merged = mergeFacts(entry.facts, facts);
    if (merged === entry.facts) return;
    entry.facts = merged;
    this.#facts.schedule(entry);
  }

  /** Removes a blob, unless somebody has it open or it has gone already. */
  async remove(entry: BlobEntry): Promise<Removed | undefined> {
    if (entry.pins > 0 || !this.#forget(entry)) return undefined;
    await this.#bury(entry);
    return { kind: 'blob', bytes: entry.size };
  }

  /** Removes a damaged blob at once from the table, and from the disk when the last who has it open lets go. */
  #drop(entry: BlobEntry, reason: unknown): void {
    if (!this.#forget(entry)) return;
    this.#parts.logger.warn({ err: reason, digest: entry.digest }, 'a damaged blob was dropped');
    this.#parts.background.start('removing a damaged blob', () => this.#bury(entry));
  }

  #forget(entry: BlobEntry): boolean {
    if (!this.table.delete(entry)) return false;
    this.#parts.onGone(entry.digest);
    return true;
  }

  async #bury(entry: BlobEntry): Promise<void> {
    const { layout, directories, room, logger } = this.#parts;
    const grave = layout.nextTemporary();
    try {
      await directories.run(entry.digest, async () => {
        // An installation that had waited longer has taken away what lay there: its own stays.
        if (!this.table.get(entry.digest)) await rename(layout.blob(entry.digest), grave);
      });
      if (entry.pins > 0) await new Promise<void>((resolve) => (entry.onUnpinned = resolve));
      await rm(grave, { recursive: true, force: true });
    } catch (error) {
      if (!isMissing(error)) logger.warn({ err: error, digest: entry.digest }, 'a blob could not be removed');
    } finally {
      room.release(entry.size);
    }
  }

  #dataFile(digest: Digest): string {
    return path.join(this.#parts.layout.blob(digest), DATA_FILE);
  }

  /** Those who wait for a verification are rejected. */
  stopVerifying(): void {
    this.#verifier.stop();
  }

  /** Writes what is only in memory, closes all files and gives the blobs that are still suspect. */
  async close(): Promise<Digest[]> {
    await this.#facts.close();
    const suspects: Digest[] = [];
    for (const entry of this.table.entries()) {
      if (entry.suspect) suspects.push(entry.digest);
      await entry.shared?.close();
    }
    return suspects;
  }
}

import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Digest } from '#registry/digest.ts';
import type { Background } from './background.ts';
import type { PartialBlob, PartialKey } from './blobs.ts';
import type { CompleteBlobs } from './complete-blobs.ts';
import { MAX_FACT_LENGTH, MAX_KEPT_PARTIALS } from './constants.ts';
import { DataFile, type WriteAt } from './data-file.ts';
import { freshDirectory } from './durable-files.ts';
import { isMissing, StoreError } from './errors.ts';
import { HeldPartial } from './held-partial.ts';
import { DATA_FILE, partialName, type Layout } from './layout.ts';
import type { KeyedLimiter, Limiter } from './limiter.ts';
import { PartialTable, type PartialEntry } from './partial-table.ts';
import type { Removed, Room } from './room.ts';
import type { StoreLogger } from './store-logger.ts';

export interface PartialParts {
  readonly layout: Layout;
  readonly room: Room;
  readonly background: Background;
  readonly directories: KeyedLimiter<string>;
  readonly flushes: Limiter;
  readonly complete: CompleteBlobs;
  readonly writeAt: WriteAt;
  readonly logger: StoreLogger;
  readonly now: () => number;
}

/** The half-done blobs: taking them up, keeping and removing them. */
export class PartialBlobs {
  readonly table = new PartialTable();
  readonly #parts: PartialParts;
  readonly #held = new Set<HeldPartial>();

  constructor(parts: PartialParts) {
    this.#parts = parts;
  }

  /** @throws StoreError for a bad key or size, or while somebody holds the same one; StoreFullError */
  async hold(key: PartialKey, size: number): Promise<PartialBlob> {
    checkRequest(key, size);
    const name = partialName(key.digest, key.scope);
    if (this.table.get(name)?.held) {
      throw new StoreError(`the partial blob ${key.digest} of ${key.scope} is held already`);
    }
    let kept = this.table.get(name) !== undefined;
    const entry = this.table.hold(name);
    let keptFile: DataFile | undefined;
    try {
      keptFile = await this.#resume(entry, size);
      kept = keptFile !== undefined;
      await this.#recharge(entry, size);
      const file = keptFile ?? (await this.#create(name, size));
      const held = new HeldPartial(this.#heldParts(entry, key.digest), { ...key, size, file, resumed: kept });
      this.#held.add(held);
      return held;
    } catch (error) {
      await keptFile?.close();
      await (kept ? this.#keep(entry, entry.charge) : this.#remove(entry));
      throw error;
    }
  }

  #heldParts(entry: PartialEntry, digest: Digest): ConstructorParameters<typeof HeldPartial>[0] {
    return {
      ...this.#parts,
      directory: this.#parts.layout.partial(entry.name),
      blobDirectory: this.#parts.layout.blob(digest),
      keep: (bytes) => this.#keep(entry, bytes),
      remove: () => this.#remove(entry),
      // The bytes stay charged: they are the complete blob's now.
      committed: () => this.table.delete(entry),
      released: (held) => this.#held.delete(held),
    };
  }

  /** The kept data file, if it is one of that size. */
  async #resume(entry: PartialEntry, size: number): Promise<DataFile | undefined> {
    const directory = this.#parts.layout.partial(entry.name);
    // Behind a removal of the same name that is still under way.
    return this.#parts.directories.run(entry.name, async () => {
      const file = await this.#openKept(directory);
      if (file) {
        const stats = await file.stat();
        if (stats.size === size) return file;
        await file.close();
      }
      this.#parts.room.release(entry.charge);
      this.table.recharge(entry, 0);
      return undefined;
    });
  }

  async #openKept(directory: string): Promise<DataFile | undefined> {
    try {
      return await DataFile.open(path.join(directory, DATA_FILE), 'write', this.#parts.writeAt);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async #create(name: string, size: number): Promise<DataFile> {
    const directory = this.#parts.layout.partial(name);
    return this.#parts.room.retryWhenDiskFull(0, async () => {
      await freshDirectory(directory);
      const file = await DataFile.open(path.join(directory, DATA_FILE), 'create', this.#parts.writeAt);
      try {
        await file.truncate(size);
        return file;
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  async #recharge(entry: PartialEntry, charge: number): Promise<void> {
    const more = charge - entry.charge;
    if (more > 0) await this.#parts.room.reserve(more);
    else this.#parts.room.release(-more);
    this.table.recharge(entry, charge);
  }

  async #keep(entry: PartialEntry, bytes: number): Promise<void> {
    this.#parts.room.release(entry.charge - bytes);
    this.table.recharge(entry, bytes);
    this.table.keep(entry, this.#parts.now());
    for (const oldest of this.table.unheld()) {
      if (this.table.idle <= MAX_KEPT_PARTIALS) break;
      await this.#remove(oldest);
    }
  }

  /** Removes one, unless somebody holds it or it has gone already. */
  async remove(entry: PartialEntry): Promise<Removed | undefined> {
    return entry.held ? undefined : this.#remove(entry);
  }

  async #remove(entry: PartialEntry): Promise<Removed | undefined> {
    const { directories, layout, logger, room } = this.#parts;
    if (!this.table.delete(entry)) return undefined;
    const grave = layout.nextTemporary();
    try {
      await directories.run(entry.name, () => rename(layout.partial(entry.name), grave));
      await rm(grave, { recursive: true, force: true });
    } catch (error) {
      if (!isMissing(error)) logger.warn({ err: error }, 'a partial blob could not be removed');
    } finally {
      room.release(entry.charge);
    }
    return { kind: 'partial', bytes: entry.charge };
  }

  /** Keeps all that are held. */
  async close(): Promise<void> {
    for (const held of this.#held) await held[Symbol.asyncDispose]();
  }
}

function checkRequest(key: PartialKey, size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new StoreError(`${size} is not a size: whole bytes from 0 on are allowed`);
  }
  if (key.scope.length === 0 || key.scope.length > MAX_FACT_LENGTH) {
    throw new StoreError(`a scope of ${key.scope.length} characters: 1 to ${MAX_FACT_LENGTH} are allowed`);
  }
}

import { rm } from 'node:fs/promises';
import path from 'node:path';
import { digestAlgorithm, digestOf, type Digest } from '#registry/digest.ts';
import { Background } from './background.ts';
import type { PartialBlob, PartialKey, StoredBlob } from './blobs.ts';
import { CompleteBlobs } from './complete-blobs.ts';
import { CONCURRENT_FLUSHES, MAX_BLOBS, WRITE_DELAY_MS } from './constants.ts';
import { DataFile, writeAt, type WriteAt } from './data-file.ts';
import { freshDirectory, syncDirectory, writeSynced } from './durable-files.ts';
import { StoreError } from './errors.ts';
import { encodeFacts, NO_FACTS, type Facts } from './facts.ts';
import { DATA_FILE, FACTS_FILE, Layout } from './layout.ts';
import { KeyedLimiter, Limiter } from './limiter.ts';
import { PartialBlobs } from './partial-blobs.ts';
import { prune, type PrunePolicy, type PruneResult } from './prune.ts';
import { ReplicaView, type AskReplicas } from './replica-view.ts';
import { Room } from './room.ts';
import { SmallWrites } from './small-writes.ts';
import { scanBlobs, scanPartials } from './scan.ts';
import { markRunning, markStopped } from './stop-marker.ts';
import type { StoreLogger } from './store-logger.ts';
import { OpenBlob } from './stored-blob.ts';
import { evictableBytes, victims } from './victims.ts';

export type { Facts, PartialBlob, PartialKey, StoredBlob };

export interface StoreOptions {
  /** Used by one process at a time; created where it is not there. */
  readonly directory: string;
  /** Bytes of content, complete and half-done. Hashes and facts come on top: about 0.02 % and 8 KiB per blob. */
  readonly quotaBytes: number;
}

export interface StoreParts {
  readonly logger: StoreLogger;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The store does not have the digest any more: evicted, pruned, or found damaged. */
  readonly onEvict: (digest: Digest) => void;
  /** Asked, with a time limit, for at most 64 candidates before an eviction; may reject. */
  readonly replicas?: AskReplicas;
  /** How content is written; pwrite(2) unless told. */
  readonly writeAt?: WriteAt;
  /** How long a small blob may be in memory only; half a second unless told. Milliseconds. */
  readonly writeDelayMs?: number;
}

export interface StoreUsage {
  /** Complete blobs. */
  readonly blobs: number;
  /** Bytes of the complete blobs. */
  readonly bytes: number;
  /** Bytes of half-done blobs: their full size while held, what they take on disk else. */
  readonly partialBytes: number;
  readonly quotaBytes: number;
  /** Complete and half-done blobs evicted to make room since the start. */
  readonly evictions: number;
  /** How often there was no room, whatever went. */
  readonly refusals: number;
}

/**
 * Content-addressed blobs on disk, within a quota. A blob appears whole or not at all, and after an unclean stop
 * it is verified again before it is served. The least recently used go when room is needed, never what is open.
 */
export class BlobStore implements AsyncDisposable {
  readonly #parts: StoreParts;
  readonly #layout: Layout;
  readonly #background: Background;
  readonly #flushes = new Limiter(CONCURRENT_FLUSHES);
  readonly #room: Room;
  readonly #complete: CompleteBlobs;
  readonly #writes: SmallWrites;
  readonly #partials: PartialBlobs;
  readonly #replicas: ReplicaView;
  #closing: Promise<void> | undefined;
  #state: 'opening' | 'open' | 'closed' = 'opening';

  private constructor(options: StoreOptions, parts: StoreParts) {
    this.#parts = parts;
    this.#layout = new Layout(options.directory);
    this.#background = new Background(parts.logger);
    this.#replicas = new ReplicaView({ ask: parts.replicas, now: parts.now, logger: parts.logger });
    this.#room = new Room(
      {
        victims: () => this.#victims(),
        evictable: () => evictableBytes({ complete: this.#complete, partials: this.#partials }),
        crowded: () => this.#complete.table.size >= MAX_BLOBS,
      },
      options.quotaBytes,
    );
    this.#writes = new SmallWrites(parts.writeDelayMs ?? WRITE_DELAY_MS);
    const shared = {
      layout: this.#layout,
      room: this.#room,
      background: this.#background,
      directories: new KeyedLimiter<string>(),
      logger: parts.logger,
      now: parts.now,
    };
    this.#complete = new CompleteBlobs({ ...shared, onGone: (digest) => this.#onGone(digest) });
    this.#partials = new PartialBlobs({
      ...shared,
      flushes: this.#flushes,
      complete: this.#complete,
      writeAt: parts.writeAt ?? writeAt,
    });
  }

  /** Takes up what the directory holds, down to the quota. @throws StoreError when the directory cannot be used */
  static async open(options: StoreOptions, parts: StoreParts): Promise<BlobStore> {
    const store = new BlobStore(options, parts);
    try {
      await store.#load();
    } catch (error) {
      throw new StoreError(`the store's directory ${options.directory} cannot be used`, { cause: error });
    }
    return store;
  }

  async #load(): Promise<void> {
    const { logger } = this.#parts;
    await this.#layout.prepare();
    const suspects = await markRunning(this.#layout.marker);
    for (const entry of await scanBlobs(this.#layout, suspects, logger)) {
      this.#complete.table.add(entry);
      this.#room.charge(entry.size);
    }
    for (const found of await scanPartials(this.#layout, logger)) {
      this.#partials.table.add(found.name, found.bytes, found.lastUse);
      this.#room.charge(found.bytes);
    }
    await this.#room.trim();
    this.#state = 'open';
    logger.info({ ...this.usage(), verifyAgain: suspects === 'all' }, 'store opened');
  }

  #victims(): ReturnType<typeof victims> {
    // At the start nobody can be asked yet.
    const replicas = this.#state === 'open' ? this.#replicas : undefined;
    const { now } = this.#parts;
    return victims({ complete: this.#complete, partials: this.#partials, replicas, now });
  }

  #onGone(digest: Digest): void {
    if (this.#state === 'opening') return;
    try {
      this.#parts.onEvict(digest);
    } catch (error) {
      this.#parts.logger.warn({ err: error, digest }, 'the listener to evictions failed');
    }
  }

  has(digest: Digest): boolean {
    return this.stat(digest) !== undefined;
  }

  stat(digest: Digest): { size: number; facts: Facts } | undefined {
    const entry = this.#complete.table.get(digest);
    if (entry) return { size: entry.size, facts: entry.facts };
    const writing = this.#writes.get(digest);
    return writing && { size: writing.bytes.byteLength, facts: writing.facts };
  }

  /** The complete blobs of this moment, the least recently used first. */
  digests(): Digest[] {
    return this.#complete.table.digests();
  }

  usage(): StoreUsage {
    return {
      blobs: this.#complete.table.size,
      bytes: this.#complete.table.bytes,
      partialBytes: this.#partials.table.bytes,
      quotaBytes: this.#room.quotaBytes,
      evictions: this.#room.evictions,
      refusals: this.#room.refusals,
    };
  }

  /**
   * Opens a complete blob and pins it until it is disposed of. After an unclean stop the first open reads and hashes
   * all of it. Undefined when the store has no such blob, or a damaged one, which is dropped then.
   */
  async open(digest: Digest, signal?: AbortSignal): Promise<StoredBlob | undefined> {
    this.#expectOpen();
    // At once: by the time that the disk has answered it may be on its way no more.
    const writing = this.#writes.open(digest);
    if (writing) return writing;
    const lease = await this.#background.track(this.#complete.acquire(digest, signal));
    return lease && new OpenBlob(lease, this.#layout.blob(digest));
  }

  /** Adds to what is known of a complete blob, at once in memory, within a second on disk. Ignored for others. */
  addFacts(digest: Digest, facts: Partial<Facts>): void {
    this.#complete.addFacts(digest, facts);
    this.#writes.addFacts(digest, facts);
  }

  /**
   * Takes a small blob: it is known and can be opened as soon as this resolves, which a slow disk delays only where many
   * wait for it. `written` resolves when it is on disk; where it rejects (StoreFullError, the disk's error) the blob has gone.
   * @throws StoreError when the bytes do not match the digest
   */
  async put(
    digest: Digest,
    bytes: Uint8Array,
    facts: Partial<Facts>,
  ): Promise<{ readonly written: Promise<void> }> {
    this.#expectOpen();
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
      throw new StoreError(`the bytes do not match ${digest}`);
    }
    await this.#complete.settle(digest);
    while (this.#writes.full) await this.#writes.next();
    this.#expectOpen();
    this.addFacts(digest, facts);
    const running = this.#writes.get(digest);
    if (running) return { written: running.written };
    if (this.has(digest)) return { written: Promise.resolve() };
    const written = this.#background.track(
      this.#writes.start(digest, bytes, facts, (known) => this.#write(digest, bytes, known)),
    );
    // Whoever waits for it sees the failure; nobody need.
    written.catch(() => undefined);
    return { written };
  }

  async #write(digest: Digest, bytes: Uint8Array, facts: () => Facts): Promise<void> {
    const size = bytes.byteLength;
    await this.#room.reserve(size);
    const directory = this.#layout.nextTemporary();
    let onDisk = NO_FACTS;
    let installed = false;
    try {
      await this.#room.retryWhenDiskFull(size, () =>
        this.#flushes.run(() => this.#fill(directory, bytes, (onDisk = facts()))),
      );
      installed = (await this.#complete.install({ digest, size, directory, facts: onDisk })) !== false;
      this.#complete.addFacts(digest, facts());
    } finally {
      if (!installed) {
        await rm(directory, { recursive: true, force: true });
        this.#room.release(size);
      }
    }
  }

  async #fill(directory: string, bytes: Uint8Array, facts: Facts): Promise<void> {
    await freshDirectory(directory);
    await using file = await DataFile.open(path.join(directory, DATA_FILE), 'create', this.#parts.writeAt);
    await file.write(0, bytes);
    await file.touch(this.#parts.now());
    await file.sync();
    await writeSynced(path.join(directory, FACTS_FILE), encodeFacts(bytes.byteLength, facts));
    await syncDirectory(directory);
  }

  /**
   * Takes up a half-done blob, or begins one; where the kept one has another size, it is discarded. One holder at a
   * time. @throws StoreError when it is held already, StoreFullError when the whole does not fit
   */
  async partial(key: PartialKey, size: number): Promise<PartialBlob> {
    this.#expectOpen();
    return this.#background.track(this.#partials.hold(key, size));
  }

  /** Removes blobs that nobody has open, and half-done ones that nobody holds. */
  async prune(policy: PrunePolicy): Promise<PruneResult> {
    this.#expectOpen();
    const { now } = this.#parts;
    const parts = { complete: this.#complete, partials: this.#partials, now, victims: () => this.#victims() };
    return this.#background.track(this.#writes.settled().then(() => prune(parts, policy)));
  }

  #expectOpen(): void {
    if (this.#state !== 'open') throw new StoreError('the store is closed');
  }

  /** Keeps partial blobs for resumption, writes what is only in memory, and marks the stop as clean. Open blobs cannot be read any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#state = 'closed';
    this.#complete.stopVerifying();
    this.#writes.begin();
    await this.#background.settled();
    await this.#partials.close();
    const suspects = await this.#complete.close();
    await this.#background.settled();
    await markStopped(this.#layout.marker, suspects);
  }
}

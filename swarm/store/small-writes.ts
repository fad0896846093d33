import type { Digest } from '#registry/digest.ts';
import type { StoredBlob } from './blobs.ts';
import { MAX_WRITES, MAX_WRITING_BYTES } from './constants.ts';
import { checkRange } from './data-file.ts';
import { type Facts, mergeFacts, NO_FACTS } from './facts.ts';

/** A small blob on its way to the disk. */
interface SmallWrite {
  readonly bytes: Uint8Array;
  facts: Facts;
  readonly written: Promise<void>;
}

/**
 * Small blobs on their way to the disk: known and read from memory meanwhile. A slow disk makes those who add to them wait.
 * A runtime that was given a manifest asks for more at once, so the disk gets it a moment later: flushing it takes
 * processor and disk from the requests that follow.
 */
export class SmallWrites {
  readonly #delayMs: number;
  readonly #running = new Map<Digest, SmallWrite>();
  #due = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  get(digest: Digest): SmallWrite | undefined {
    return this.#running.get(digest);
  }

  open(digest: Digest): StoredBlob | undefined {
    const running = this.#running.get(digest);
    return running && new MemoryBlob(digest, running.bytes);
  }

  addFacts(digest: Digest, facts: Partial<Facts>): void {
    const running = this.#running.get(digest);
    if (running) running.facts = mergeFacts(running.facts, facts);
  }

  /** Whoever has one more waits. */
  get full(): boolean {
    return this.#bytes >= MAX_WRITING_BYTES || this.#running.size >= MAX_WRITES;
  }

  /** Resolves when the next one has been written, or could not be. */
  async next(): Promise<void> {
    await Promise.race([...this.#running.values()].map(({ written }) => written.catch(() => undefined)));
  }

  /** Resolves when all that wait now have been written, or could not be. */
  async settled(): Promise<void> {
    this.begin();
    await Promise.allSettled([...this.#running.values()].map(({ written }) => written));
  }

  /**
   * @param write is given what is known of the blob when it asks; where it fails, the blob is known no more
   * @returns settles as `write` does
   */
  start(
    digest: Digest,
    bytes: Uint8Array,
    facts: Partial<Facts>,
    write: (facts: () => Facts) => Promise<void>,
  ): Promise<void> {
    this.#bytes += bytes.byteLength;
    const written = this.#due.promise
      .then(() => write(() => running.facts))
      .finally(() => {
        this.#running.delete(digest);
        this.#bytes -= bytes.byteLength;
      });
    const running: SmallWrite = { bytes, facts: mergeFacts(NO_FACTS, facts), written };
    this.#running.set(digest, running);
    if (this.#bytes >= MAX_WRITING_BYTES / 2 || this.#running.size >= MAX_WRITES / 2) this.begin();
    else this.#timer ??= setTimeout(() => this.begin(), this.#delayMs);
    return written;
  }

  /** Writes what waits, now. */
  begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due.resolve();
    this.#due = Promise.withResolvers();
  }
}

/** Needs nothing of the disk, and so cannot be damaged or evicted. */
class MemoryBlob implements StoredBlob {
  readonly digest: Digest;
  readonly #bytes: Uint8Array;

  constructor(digest: Digest, bytes: Uint8Array) {
    this.digest = digest;
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.byteLength;
  }

  async read(position: number, target: Uint8Array): Promise<void> {
    checkRange(this.size, position, target.byteLength);
    target.set(this.#bytes.subarray(position, position + target.byteLength));
  }

  drop(): void {
    // It is what was put.
  }

  async batches(): Promise<Uint8Array[]> {
    return [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // There is no file.
  }
}

import type { PieceMemory } from './piece-memory.ts';

export interface PieceCacheLimits {
  /** All pieces together. */
  readonly bytes: number;
  /** Of these, what is kept for this process' own readers. */
  readonly awaitedBytes: number;
  /** How long it is kept for them; a reader that takes longer reads the disk. Milliseconds. */
  readonly awaitedMs: number;
}

/** What is to become of a piece that is put. */
export interface PieceUse {
  /** It is being written and so exists nowhere else: it stays until `written`, whatever the limit; who puts it bounds how much. */
  readonly unwritten: boolean;
  /** Readers of this process, the digest among them, are still to come to it: until `passed` it makes no room for others. */
  readonly awaited: boolean;
}

interface Entry {
  readonly memory: PieceMemory;
  unwritten: boolean;
  /** Undefined: by nobody. */
  awaitedUntil: number | undefined;
}

/**
 * Verified pieces kept in memory for those who ask next, over all torrents, least recently used first out. Those that
 * this process' readers are still to come to stay: they are read in order and come out of order, so that the oldest is
 * the next to be wanted, and where they lie further apart than the limit each of them would be gone just before.
 */
export class PieceCache {
  readonly #limits: PieceCacheLimits;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #awaitedBytes = 0;

  constructor(limits: PieceCacheLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Still the cache's: who keeps it retains it. */
  get(key: string): PieceMemory | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.memory;
  }

  /** Takes over the memory. */
  put(key: string, memory: PieceMemory, { unwritten, awaited }: PieceUse): void {
    this.delete(key);
    const { length } = memory.data;
    const entry: Entry = { memory, unwritten, awaitedUntil: undefined };
    this.#entries.set(key, entry);
    this.#bytes += length;
    if (awaited && this.#awaitedBytes + length <= this.#limits.awaitedBytes) {
      entry.awaitedUntil = this.#now() + this.#limits.awaitedMs;
      this.#awaitedBytes += length;
    }
    this.#shrink();
  }

  /** The disk has it. */
  written(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.unwritten = false;
    this.#shrink();
  }

  /** No reader of this process awaits it any more. */
  passed(key: string): void {
    const entry = this.#entries.get(key);
    if (entry) this.#pass(entry);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#pass(entry);
    this.#entries.delete(key);
    this.#bytes -= entry.memory.data.length;
    entry.memory.release();
  }

  #pass(entry: Entry): void {
    if (entry.awaitedUntil === undefined) return;
    entry.awaitedUntil = undefined;
    this.#awaitedBytes -= entry.memory.data.length;
  }

  #shrink(): void {
    if (this.#bytes <= this.#limits.bytes) return;
    const now = this.#now();
    for (const [key, { unwritten, awaitedUntil = now }] of this.#entries) {
      if (this.#bytes <= this.#limits.bytes) return;
      if (!unwritten && awaitedUntil <= now) this.delete(key);
    }
  }
}

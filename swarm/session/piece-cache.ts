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
  /** Readers of this process are still to come to it, or the digest's check to bytes that nobody signed: as far as the limits go it makes no room for others until it is `passed`. */
  readonly awaited: boolean;
}

interface Entry {
  readonly memory: PieceMemory;
  unwritten: boolean;
  /** Of what is kept for own readers. */
  awaitedUntil: number;
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
  /** What is kept for own readers, the oldest first. */
  readonly #awaited = new Set<Entry>();
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

  /** Takes over the memory. A piece that is still being written is not replaced by a copy that was read back. */
  put(key: string, memory: PieceMemory, { unwritten, awaited }: PieceUse): void {
    if (!unwritten && this.#entries.get(key)?.unwritten) return memory.release();
    this.delete(key);
    const { length } = memory.data;
    const now = this.#now();
    const entry: Entry = { memory, unwritten, awaitedUntil: now + this.#limits.awaitedMs };
    this.#entries.set(key, entry);
    this.#bytes += length;
    for (const oldest of this.#awaited) {
      if (oldest.awaitedUntil > now) break;
      this.#pass(oldest);
    }
    if (awaited && this.#awaitedBytes + length <= this.#limits.awaitedBytes) {
      this.#awaited.add(entry);
      this.#awaitedBytes += length;
    }
    this.#shrink();
  }

  /** The disk has what was put, or will not; a piece that took its place is not meant. */
  written(key: string, memory: PieceMemory): void {
    const entry = this.#entries.get(key);
    if (entry?.memory !== memory) return;
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
    if (!this.#awaited.delete(entry)) return;
    this.#awaitedBytes -= entry.memory.data.length;
  }

  #shrink(): void {
    if (this.#bytes <= this.#limits.bytes) return;
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= this.#limits.bytes) return;
      if (!entry.unwritten && !this.#awaited.has(entry)) this.delete(key);
    }
  }
}

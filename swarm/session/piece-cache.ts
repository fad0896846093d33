import type { PieceMemory } from './piece-memory.ts';

/** A piece in memory; `pinned` while it is being written and so exists nowhere else. */
interface Entry {
  readonly memory: PieceMemory;
  pinned: boolean;
}

/**
 * Verified pieces kept in memory for those who ask next, over all torrents, least recently used first out.
 * Pinned ones stay whatever the limit; who pins bounds how much.
 */
export class PieceCache {
  readonly #limit: number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
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
  put(key: string, memory: PieceMemory, pinned: boolean): void {
    this.delete(key);
    this.#entries.set(key, { memory, pinned });
    this.#bytes += memory.data.length;
    this.#shrink();
  }

  unpin(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.pinned = false;
    this.#shrink();
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.memory.data.length;
    entry.memory.release();
  }

  #shrink(): void {
    if (this.#bytes <= this.#limit) return;
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= this.#limit) return;
      if (!entry.pinned) this.delete(key);
    }
  }
}

/** A piece in memory; `pinned` while it is being written and so exists nowhere else. */
interface Entry {
  readonly data: Buffer;
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

  get(key: string): Buffer | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.data;
  }

  put(key: string, data: Buffer, pinned: boolean): void {
    this.delete(key);
    this.#entries.set(key, { data, pinned });
    this.#bytes += data.length;
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
    this.#bytes -= entry.data.length;
  }

  #shrink(): void {
    if (this.#bytes <= this.#limit) return;
    for (const [key, entry] of this.#entries) {
      if (this.#bytes <= this.#limit) return;
      if (!entry.pinned) this.delete(key);
    }
  }
}

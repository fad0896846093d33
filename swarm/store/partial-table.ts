/** A half-done blob on disk. */
export interface PartialEntry {
  readonly name: string;
  /** Bytes in the quota's account: the whole size while held, else what the file really takes. */
  charge: number;
  /** Milliseconds since 1970. */
  lastUse: number;
  held: boolean;
}

/** The half-done blobs, those that nobody holds in the order of their last use. */
export class PartialTable {
  readonly #entries = new Map<string, PartialEntry>();
  #bytes = 0;
  #held = 0;

  /** Those that nobody holds. */
  get idle(): number {
    return this.#entries.size - this.#held;
  }

  /** The charges of all. */
  get bytes(): number {
    return this.#bytes;
  }

  get(name: string): PartialEntry | undefined {
    return this.#entries.get(name);
  }

  /** Adds one that is kept; to be called in the order of last use. */
  add(name: string, charge: number, lastUse: number): void {
    this.#entries.set(name, { name, charge, lastUse, held: false });
    this.#bytes += charge;
  }

  /** The entry of that name, or a new one without charge, held from now on. */
  hold(name: string): PartialEntry {
    const entry = this.#entries.get(name) ?? { name, charge: 0, lastUse: 0, held: false };
    entry.held = true;
    this.#held += 1;
    this.#entries.set(name, entry);
    return entry;
  }

  keep(entry: PartialEntry, lastUse: number): void {
    entry.held = false;
    this.#held -= 1;
    entry.lastUse = lastUse;
    this.#entries.delete(entry.name);
    this.#entries.set(entry.name, entry);
  }

  recharge(entry: PartialEntry, charge: number): void {
    this.#bytes += charge - entry.charge;
    entry.charge = charge;
  }

  /** False when it is not there any more. */
  delete(entry: PartialEntry): boolean {
    if (this.#entries.get(entry.name) !== entry) return false;
    this.#entries.delete(entry.name);
    this.#bytes -= entry.charge;
    if (entry.held) this.#held -= 1;
    return true;
  }

  /** Those that nobody holds, the least recently used first. */
  *unheld(): Generator<PartialEntry> {
    for (const entry of this.#entries.values()) if (!entry.held) yield entry;
  }
}

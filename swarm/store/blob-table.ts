import type { Digest } from '#registry/digest.ts';
import type { Facts } from './facts.ts';
import type { SharedFile } from './shared-file.ts';

/** A complete blob, as memory knows it. */
export interface BlobEntry {
  readonly digest: Digest;
  readonly size: number;
  facts: Facts;
  /** Milliseconds since 1970. */
  lastAccess: number;
  /** The last access that the file times say. */
  persistedAccess: number;
  /** To be verified before it is served. */
  suspect: boolean;
  /** Who has it open, or is opening or closing it; while there are any it stays. */
  pins: number;
  shared?: SharedFile;
  /** Set when the blob has gone while pinned: called once nobody has it open. */
  onUnpinned?: () => void;
}

/** A new entry, not pinned. */
export function blobEntry(
  digest: Digest,
  size: number,
  facts: Facts,
  lastAccess: number,
  suspect = false,
): BlobEntry {
  return { digest, size, facts, lastAccess, persistedAccess: lastAccess, suspect, pins: 0 };
}

/** The complete blobs in the order of their last access, the oldest first. */
export class BlobTable {
  readonly #entries = new Map<Digest, BlobEntry>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(digest: Digest): BlobEntry | undefined {
    return this.#entries.get(digest);
  }

  digests(): Digest[] {
    return [...this.#entries.keys()];
  }

  entries(): Iterable<BlobEntry> {
    return this.#entries.values();
  }

  /** False once the entry has been removed, also where the digest has another entry by now. */
  holds(entry: BlobEntry): boolean {
    return this.#entries.get(entry.digest) === entry;
  }

  /** To be called with the entries in the order of their last access. */
  add(entry: BlobEntry): void {
    this.#entries.set(entry.digest, entry);
    this.#bytes += entry.size;
  }

  /** False when it is not there any more. */
  delete(entry: BlobEntry): boolean {
    if (!this.holds(entry)) return false;
    this.#entries.delete(entry.digest);
    this.#bytes -= entry.size;
    return true;
  }

  touch(entry: BlobEntry, now: number): void {
    if (!this.holds(entry)) return;
    this.#entries.delete(entry.digest);
    this.#entries.set(entry.digest, entry);
    entry.lastAccess = now;
  }

  /** Entries that somebody has open. */
  *pinned(): Generator<BlobEntry> {
    for (const entry of this.#entries.values()) if (entry.pins > 0) yield entry;
  }

  /** Entries that nobody has open, the least recently used first. */
  *unpinned(): Generator<BlobEntry> {
    for (const entry of this.#entries.values()) if (entry.pins === 0) yield entry;
  }
}

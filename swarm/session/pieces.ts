import { createHash } from 'node:crypto';
import { type Digest, digestAlgorithm, digestHex } from '#registry/digest.ts';
import { type Block, PieceTable } from '#swarm/core/piece-table.ts';
import type { HashBatch } from '#swarm/hashes/batch.ts';
import { Assembly } from './assembly.ts';
import { DigestCheck } from './digest-check.ts';
import { DigestMismatchError } from './errors.ts';
import { HashTable } from './hash-table.ts';
import type { PeerSession } from './peer-session.ts';
import type { PieceStorage } from './piece-storage.ts';

/** Where bytes came from. */
export type Source = 'cache' | 'peer' | 'origin' | 'upstream';

const SOURCES: readonly Source[] = ['cache', 'peer', 'origin', 'upstream'];

/** What becomes of pieces. */
export interface PieceEvents {
  /** The piece can be read by this process. */
  held(index: number, source: Source, bytes: number): void;
  /** The piece matched a signed hash, or the whole its digest: it may go to peers. */
  shareable(index: number): void;
  /** Its bytes did not match; these had a part in it. */
  bad(index: number, contributors: ReadonlySet<PeerSession>): void;
  /** All bytes are here and nobody has told the hash of this piece. */
  hashMissing(index: number): void;
  /** A batch of the verified scope came, which is good for everybody. */
  vouched(signed: Uint8Array): void;
  /** The whole matched its digest. */
  whole(): void;
  /** The whole, or what was told of it, contradicts the digest. */
  mismatch(error: DigestMismatchError): void;
  /** Something in keeping the pieces failed. */
  broke(error: unknown): void;
}

/**
 * The pieces of one blob on their way from block to verified whole. A piece once held is never replaced: what a
 * reader was given is what the digest is computed over.
 */
export class Pieces {
  readonly digest: Digest;
  readonly table: PieceTable;
  readonly hashes: HashTable;
  readonly storage: PieceStorage;
  /** Called once when the whole has matched and before it is stored: an origin signs all hashes anew then. */
  onWhole: (() => void) | undefined;
  readonly #events: PieceEvents;
  readonly #assembly = new Assembly();
  readonly #check: DigestCheck;
  /** Held pieces whose bytes no signed hash vouches for: for own readers only until the whole is verified. */
  readonly #unsigned = new Set<number>();
  /** Index into SOURCES, per piece. */
  readonly #sources: Uint8Array;
  #verified: boolean;

  /** @param blob.complete all of it is in the storage and was verified before */
  constructor(
    blob: { digest: Digest; size: number; complete: boolean },
    parts: { storage: PieceStorage; events: PieceEvents },
  ) {
    this.digest = blob.digest;
    this.table = new PieceTable(blob.size);
    this.hashes = new HashTable(blob.size);
    this.storage = parts.storage;
    this.#events = parts.events;
    this.#sources = new Uint8Array(this.table.count);
    this.#verified = blob.complete || blob.size === 0;
    this.#check = new DigestCheck(blob.digest, {
      count: this.table.count,
      has: (index) => this.table.held.has(index),
      piece: (index) => this.storage.readPiece(index),
    });
    // The one piece of a small blob is the blob, and its hash the digest.
    if (this.table.count === 1 && digestAlgorithm(blob.digest) === 'sha256') {
      this.hashes.set(0, Buffer.from(digestHex(blob.digest), 'hex'));
    }
    if (blob.complete) this.table.held.fill();
  }

  /** The whole matched its digest. */
  get verified(): boolean {
    return this.#verified;
  }

  /** Whether a reader may have the piece: the last one only when the whole is verified. */
  readable(index: number): boolean {
    return this.table.held.has(index) && (this.#verified || index < this.table.count - 1);
  }

  shareable(index: number): boolean {
    return this.table.held.has(index) && !this.#unsigned.has(index);
  }

  wants(block: Block): boolean {
    return this.table.active.has(block.index) && !this.table.hasArrived(block);
  }

  /** A block from a peer. */
  arrived(peer: PeerSession, block: Block, data: Buffer): void {
    if (!this.wants(block)) return;
    this.#assembly.add(block, data, this.table.sizeOf(block.index), peer);
    if (this.table.arrived(block)) this.#verify(block.index);
  }

  /** A whole piece from upstream. @throws Error if a signed hash is known and it does not match */
  supply(index: number, data: Buffer): void {
    if (this.table.held.has(index)) return;
    const hash = this.hashes.get(index);
    if (hash && !matches(data, hash))
      throw new Error(`piece ${index} from upstream does not match its signed hash`);
    if (!hash) this.#unsigned.add(index);
    this.#hold(index, data, 'upstream');
  }

  /** A batch whose signature is good. False if it does not speak of this blob as it is known here. */
  learn(batch: HashBatch, signed: Uint8Array): boolean {
    const { fits, fresh, vouches } = this.hashes.add(batch, signed);
    if (vouches || fresh.length > 0) this.storage.keepBatch(signed);
    if (vouches) this.#events.vouched(signed);
    for (const index of fresh) {
      if (this.#assembly.get(index)) this.#verify(index);
      else if (this.#unsigned.has(index)) void this.#vouch(index);
    }
    return fits;
  }

  /** Pieces whose bytes are all here while nobody has told their hash. */
  *parked(): Generator<number> {
    for (const index of this.#assembly.indices())
      if (!this.hashes.has(index) && this.#arrivedWhole(index)) yield index;
  }

  /** Counts the stored pieces whose signed hash is known and matches as held. */
  async resume(signal: AbortSignal): Promise<void> {
    for (let index = 0; index < this.table.count && !signal.aborted; index++) {
      const hash = this.hashes.get(index);
      if (!hash || this.table.held.has(index) || this.table.active.has(index)) continue;
      const piece = await this.storage.readPiece(index);
      if (this.table.held.has(index) || this.table.active.has(index) || !matches(piece, hash)) continue;
      this.table.hold(index);
      this.#events.held(index, 'cache', 0);
      this.#events.shareable(index);
    }
    this.#advance();
  }

  /** The source of a piece; once it has been read, the next reader has it from the cache. */
  takeSource(index: number): Source {
    const source = SOURCES[this.#sources[index]!]!;
    this.#sources[index] = 0;
    return source;
  }

  sourceOf(index: number): Source {
    return SOURCES[this.#sources[index]!]!;
  }

  /** Nobody here needs the piece any more. Where it is in memory only it is gone, to be fetched anew if asked for. */
  release(index: number): void {
    if (index < this.#check.next && this.storage.release(index)) this.table.drop(index);
  }

  /** The stored bytes cannot be read: the piece is wanted anew. */
  lose(index: number): void {
    this.table.drop(index);
  }

  #verify(index: number): void {
    const piece = this.#assembly.get(index)!;
    if (!this.#arrivedWhole(index)) return;
    const hash = this.hashes.get(index);
    if (!hash) return this.#events.hashMissing(index);
    this.#assembly.delete(index);
    if (!matches(piece.data, hash)) {
      this.table.drop(index);
      return this.#events.bad(index, piece.contributors);
    }
    const origin = [...piece.contributors].some((peer) => peer.role === 'origin');
    this.#hold(index, piece.data, origin ? 'origin' : 'peer');
  }

  #arrivedWhole(index: number): boolean {
    const piece = this.table.active.get(index);
    return piece !== undefined && piece.arrived === piece.units.length;
  }

  #hold(index: number, data: Buffer, source: Source): void {
    this.#assembly.delete(index);
    this.storage.put(index, data);
    this.table.hold(index);
    this.#sources[index] = SOURCES.indexOf(source);
    this.#events.held(index, source, data.length);
    if (!this.#unsigned.has(index)) this.#events.shareable(index);
    this.#advance();
  }

  /** A signed hash came for a piece that is held without one. */
  async #vouch(index: number): Promise<void> {
    try {
      const piece = await this.storage.readPiece(index);
      if (!matches(piece, this.hashes.get(index)!)) {
        return this.#events.mismatch(
          new DigestMismatchError(this.digest, new Error('upstream and origin differ')),
        );
      }
      if (this.#unsigned.delete(index)) this.#events.shareable(index);
    } catch (error) {
      this.#events.broke(error);
    }
  }

  #advance(): void {
    if (this.#verified) return;
    this.#check.advance().then(
      (whole) => {
        if (whole === true) this.#whole();
        else if (whole === false) this.#events.mismatch(new DigestMismatchError(this.digest));
      },
      (error: unknown) => this.#events.broke(error),
    );
  }

  #whole(): void {
    if (this.#verified) return;
    this.#verified = true;
    const late = [...this.#unsigned];
    this.#unsigned.clear();
    for (const index of late) this.#events.shareable(index);
    this.onWhole?.();
    this.#events.whole();
  }
}

function matches(piece: Buffer, hash: Buffer): boolean {
  return createHash('sha256').update(piece).digest().equals(hash);
}

import type { Digest } from '#registry/digest.ts';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { type Block, PieceTable } from '#swarm/core/piece-table.ts';
import type { HashBatch } from '#swarm/hashes/batch.ts';
import { sha256 } from '#swarm/hashes/sha256.ts';
import { Assembly } from './assembly.ts';
import { DigestCheck } from './digest-check.ts';
import { DigestMismatchError } from './errors.ts';
import { HashTable } from './hash-table.ts';
import type { PeerSession } from './peer-session.ts';
import type { PieceMemory, PiecePool } from './piece-memory.ts';
import type { PieceStorage } from './piece-storage.ts';
import { Suspects } from './suspects.ts';

/** Where bytes came from. */
export type Source = 'cache' | 'peer' | 'origin' | 'upstream';

const SOURCES: readonly Source[] = ['cache', 'peer', 'origin', 'upstream'];

/** What becomes of pieces. */
export interface PieceEvents {
  /** What an earlier run might have left is not there: it is to be fetched. */
  absent(): void;
  /** The piece can be read by this process. */
  held(index: number, source: Source, bytes: number): void;
  /** The piece matched a signed hash, or the whole its digest: it may go to peers. */
  shareable(index: number): void;
  /** Its bytes did not match; these had a part in it. */
  bad(index: number, contributors: ReadonlySet<PeerSession>): void;
  /** These had sent wrong bytes for a piece that has come right now. */
  convicted(liars: ReadonlySet<PeerSession>): void;
  /** All bytes are here and nobody has told the hash of this piece. */
  hashMissing(index: number): void;
  /** A batch of the verified scope came, which is good for everybody. */
  vouched(signed: Uint8Array): void;
  /** The whole matched its digest. */
  whole(): void;
  /** The whole, or what was told of it, contradicts the digest. */
  mismatch(error: DigestMismatchError): void;
  /** The disk has lost or changed the piece. */
  unreadable(index: number, error: unknown): void;
}

interface Unsigned {
  /** SHA-256 of its bytes. */
  readonly hash: Buffer;
  /** The link after it, once the digest's check has been there. */
  link?: Buffer;
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
  readonly #assembly: Assembly;
  readonly suspects = new Suspects();
  readonly #check: DigestCheck;
  /**
   * SHA-256 of pieces from upstream whose links nobody had signed when they came: for own readers only until the digest's check
   * has come to a signed link with them or the whole is verified. It outlives the bytes: whoever needs the piece anew gets the same or none.
   */
  readonly #unsigned = new Map<number, Unsigned>();
  readonly #pool: PiecePool;
  readonly #isAhead: (index: number) => boolean;
  /** Pieces that were held and are not any more. Peers that have them did not say so, as they were not wanted. */
  readonly lost: Bitfield;
  /** Pieces that an earlier run may have left on disk, as long as nobody has looked. */
  readonly #unchecked = new Set<number>();
  /** Pieces whose bytes are all here while nobody has told their hash. */
  readonly #parked = new Set<number>();
  /** Index into SOURCES, per piece. */
  readonly #sources: Uint8Array;
  #verified: boolean;

  /** @param blob.complete all of it is in the storage and was verified before */
  constructor(
    blob: { digest: Digest; size: number; complete: boolean },
    parts: {
      storage: PieceStorage;
      pool: PiecePool;
      events: PieceEvents;
      /** Whether a reader is at this piece or before it. */
      isAhead: (index: number) => boolean;
    },
  ) {
    this.digest = blob.digest;
    this.table = new PieceTable(blob.size);
    this.hashes = new HashTable(blob);
    this.storage = parts.storage;
    this.#events = parts.events;
    this.#pool = parts.pool;
    this.#isAhead = parts.isAhead;
    this.#assembly = new Assembly(parts.pool);
    this.#sources = new Uint8Array(this.table.count);
    this.#verified = blob.complete;
    this.#check = new DigestCheck(blob, {
      count: this.table.count,
      has: (index) => this.table.held.has(index),
      proof: (index) => this.#proof(index),
      piece: (index) => this.storage.readPiece(index),
      passed: (index, link) => this.#checkPassed(index, link),
    });
    this.lost = new Bitfield(this.table.count);
    this.storage.awaited = (index) => this.#awaited(index);
    this.storage.onGone = (index) => this.lose(index);
    this.storage.compare = (index, data) => this.#compare(index, data);
    if (blob.complete) this.table.held.fill();
    else if (blob.size === 0) this.#advance();
  }

  /** The whole matched its digest. */
  get verified(): boolean {
    return this.#verified;
  }

  /** Whether a reader may have the piece: the last one only when the whole is verified. */
  readable(index: number): boolean {
    return this.table.held.has(index) && (this.#verified || index < this.table.count - 1);
  }

  /** The first piece that has to come before the piece is readable; itself, unless the whole is waited for. */
  awaited(index: number): number {
    if (!this.table.held.has(index) || this.readable(index)) return index;
    return Math.min(this.#check.next, index);
  }

  /** Pieces before this one are not needed for the digest any more. */
  get checked(): number {
    return this.#check.next;
  }

  /** The link before piece `index`, where one has been signed or come to. */
  link(index: number): Buffer | undefined {
    return this.hashes.link(index) ?? (index === this.#check.next ? this.#check.link : undefined);
  }

  /** Bytes that cannot be verified yet. */
  get parkedBytes(): number {
    return this.#parked.size * this.table.pieceLength;
  }

  shareable(index: number): boolean {
    return this.table.held.has(index) && (this.#verified || !this.#unsigned.has(index));
  }

  wants(block: Block): boolean {
    return this.table.active.has(block.index) && !this.table.hasArrived(block);
  }

  /** A block from a peer, with its memory. */
  arrived(peer: PeerSession, block: Block, memory: PieceMemory): void {
    if (!this.wants(block)) return memory.release();
    this.#assembly.add(block, memory, peer);
    if (this.table.arrived(block)) this.#verify(block.index);
  }

  /** Nothing more comes from the peer for now: what was to come from it alone begins anew with another. */
  abandonedBy(peer: PeerSession): void {
    for (const index of this.suspects.abandonedBy(peer)) {
      if (!this.table.active.has(index)) continue;
      this.table.drop(index);
      this.#assembly.drop(index);
    }
  }

  /** Memory for the piece. */
  room(index: number): PieceMemory {
    return this.#pool.take(this.table.sizeOf(index));
  }

  /**
   * A whole piece from upstream, with its memory.
   * @param link the one after it, where the caller has just come to it
   * @throws RangeError if it is none of the blob's; Error if it does not match its signed links or what came before
   */
  supply(index: number, memory: PieceMemory, link?: Buffer): void {
    const { length } = memory.data;
    if (!(index >= 0 && index < this.table.count) || length !== this.table.sizeOf(index))
      throw new RangeError(`${length} bytes are not piece ${index} of a blob of ${this.table.size}`);
    if (this.table.held.has(index)) return memory.release();
    if (!this.#isAsBefore(index, memory.data))
      throw new Error(`piece ${index} from upstream does not match itself`);
    if (this.hashes.has(index)) {
      const matches = link?.equals(this.hashes.link(index + 1)!) ?? this.hashes.matches(index, memory.data);
      if (!matches) throw new Error(`piece ${index} from upstream does not match its signed hash`);
      this.#unsigned.delete(index);
    } else if (!this.#unsigned.has(index)) this.#unsigned.set(index, { hash: sha256(memory.data) });
    this.#hold(index, memory, 'upstream');
  }

  /** A batch whose signature is good. False if it does not speak of this blob as it is known here. */
  learn(batch: HashBatch, signed: Uint8Array): boolean {
    const { fits, fresh, vouches } = this.hashes.add(batch, signed);
    if (vouches || fresh.length > 0) this.storage.keepBatch(signed);
    if (vouches) this.#events.vouched(signed);
    for (const index of fresh) {
      if (!this.#vouch(index)) return fits;
      if (this.#arrivedWhole(index)) this.#verify(index);
    }
    return fits;
  }

  /** Pieces whose bytes are all here while nobody has told their hash. */
  parked(): Iterable<number> {
    return this.#parked;
  }

  /** Whether a piece may lie on disk from an earlier run: fetched now, it could come twice. */
  unchecked(index: number): boolean {
    return this.#unchecked.has(index);
  }

  get anyUnchecked(): boolean {
    return this.#unchecked.size > 0;
  }

  /**
   * Counts the stored pieces whose signed hash is known and matches as held, one after the other.
   * @param wanted those to look at first, asked for anew before each
   */
  async resume(wanted: () => Iterable<number>, signal: AbortSignal): Promise<void> {
    for (let index = 0; index < this.table.count; index++)
      if (this.hashes.has(index) && !this.table.held.has(index)) this.#unchecked.add(index);
    for (let index = this.#nextUnchecked(wanted()); index !== undefined && !signal.aborted;) {
      await this.#look(index, signal);
      index = this.#nextUnchecked(wanted());
    }
    this.#unchecked.clear();
  }

  #nextUnchecked(wanted: Iterable<number>): number | undefined {
    for (const index of wanted) if (this.#unchecked.has(index)) return index;
    return this.#unchecked.values().next().value;
  }

  async #look(index: number, signal: AbortSignal): Promise<void> {
    const matches = await this.#storedMatches(index);
    this.#unchecked.delete(index);
    if (signal.aborted || this.table.held.has(index)) return;
    if (!matches) return this.#events.absent();
    this.table.hold(index);
    this.#events.held(index, 'cache', this.table.sizeOf(index));
    this.#events.shareable(index);
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

  /** A reader has had the piece. Where it is in memory only and the digest has had it too it is gone, to be fetched anew if asked for. */
  release(index: number): void {
    this.#passed(index);
    if (index < this.#check.next && this.storage.release(index)) this.lose(index);
  }

  /** The piece is not there any more, or cannot be read: whoever needs it has it fetched anew. */
  lose(index: number): void {
    this.#parked.delete(index);
    this.#assembly.drop(index);
    this.table.drop(index);
    this.lost.add(index);
  }

  /** The check reads only what was not proven when it came. */
  #awaited(index: number): boolean {
    const isToBeChecked = !this.#verified && index >= this.#check.next && this.#unsigned.has(index);
    return isToBeChecked || this.#isAhead(index);
  }

  #proof(index: number): { before: Buffer; after: Buffer } | undefined {
    if (!this.hashes.has(index) || this.#unsigned.has(index)) return undefined;
    return { before: this.hashes.link(index)!, after: this.hashes.link(index + 1)! };
  }

  #checkPassed(index: number, link: Buffer): void {
    const unsigned = this.#unsigned.get(index);
    if (unsigned) {
      unsigned.link = link;
      this.#vouch(index);
    }
    this.#passed(index);
  }

  /** Whether a piece's bytes are what was held; undefined where nothing tells. */
  #compare(index: number, data: Buffer): boolean | undefined {
    if (this.#unsigned.has(index)) return this.#isAsBefore(index, data);
    return this.hashes.has(index) ? this.hashes.matches(index, data) : undefined;
  }

  #passed(index: number): void {
    if (!this.#awaited(index)) this.storage.passed(index);
  }

  #verify(index: number): void {
    if (!this.hashes.has(index)) {
      this.#parked.add(index);
      return this.#events.hashMissing(index);
    }
    this.#parked.delete(index);
    const blocks = this.#assembly.blocks(index);
    const contributors = new Set(blocks.map(({ peer }) => peer));
    const memory = this.#assembly.join(index, this.table.sizeOf(index));
    if (!this.hashes.matches(index, memory.data)) {
      this.suspects.failed(index, blocks);
      memory.release();
      this.#assembly.drop(index);
      this.table.drop(index);
      return this.#events.bad(index, contributors);
    }
    if (!this.#isAsBefore(index, memory.data)) {
      memory.release();
      this.#assembly.drop(index);
      this.table.drop(index);
      return this.#contradicted(index);
    }
    this.#unsigned.delete(index);
    const origin = [...contributors].some((peer) => peer.role === 'origin');
    this.#hold(index, memory, origin ? 'origin' : 'peer');
  }

  #arrivedWhole(index: number): boolean {
    const piece = this.table.active.get(index);
    return piece !== undefined && piece.arrived === piece.units.length;
  }

  #hold(index: number, memory: PieceMemory, source: Source): void {
    this.#parked.delete(index);
    this.#assembly.drop(index);
    const bytes = memory.data.length;
    const liars = this.suspects.settled(index, memory.data);
    if (liars.size > 0) this.#events.convicted(liars);
    this.storage.put(index, memory);
    this.table.hold(index);
    this.lost.remove(index);
    this.#sources[index] = SOURCES.indexOf(source);
    this.#events.held(index, source, bytes);
    if (this.shareable(index)) this.#events.shareable(index);
    this.#advance();
  }

  /**
   * For a piece that was taken in while nobody had signed its links: those count once there are any and the check has come to
   * the same, for a link tells of all that comes before it. False if they contradict each other.
   */
  #vouch(index: number): boolean {
    const link = this.#unsigned.get(index)?.link;
    if (!link || !this.hashes.has(index)) return true;
    if (!link.equals(this.hashes.link(index + 1)!)) {
      this.#contradicted(index);
      return false;
    }
    const shared = this.shareable(index);
    this.#unsigned.delete(index);
    if (!shared && this.shareable(index)) this.#events.shareable(index);
    return true;
  }

  /** Where a piece was taken in while nobody had signed its links: readers may have had its bytes. */
  #isAsBefore(index: number, data: Buffer): boolean {
    return this.#unsigned.get(index)?.hash.equals(sha256(data)) ?? true;
  }

  #contradicted(index: number): void {
    const cause = new Error(`upstream and an origin differ on piece ${index}`);
    this.#events.mismatch(new DigestMismatchError(this.digest, cause));
  }

  /** Whether the piece lies on disk as it was; one that cannot be read has to come anew. */
  async #storedMatches(index: number): Promise<boolean> {
    try {
      const { memory } = await this.storage.readPiece(index);
      memory.release();
      return true;
    } catch {
      return false;
    }
  }

  #advance(): void {
    if (this.#verified) return;
    this.#check.advance().then(
      (whole) => {
        if (whole === true) this.#whole();
        else if (whole === false) this.#events.mismatch(new DigestMismatchError(this.digest));
      },
      (error: unknown) => this.#events.unreadable(this.#check.next, error),
    );
  }

  #whole(): void {
    if (this.#verified) return;
    this.#verified = true;
    for (const index of this.#unsigned.keys()) if (this.shareable(index)) this.#events.shareable(index);
    this.onWhole?.();
    this.#events.whole();
  }
}

import { asError } from '#registry/as-error.ts';
import type { Digest } from '#registry/digest.ts';
import { ZoneImports } from '#swarm/core/zone-imports.ts';
import { Distribution } from '#swarm/core/distribution.ts';
import type { Offence } from '#swarm/core/peer-score.ts';
import type { Block } from '#swarm/core/piece-table.ts';
import { type HashBatch, VERIFIED } from '#swarm/hashes/batch.ts';
import { liveSwarmId, verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { type Facts, mergeFacts, NO_FACTS } from '#swarm/store/facts.ts';
import type { Wire } from '#swarm/wire/wire.ts';
import type { DialTarget } from './addresses.ts';
import type { Bandwidth } from './bandwidth.ts';
import { Connections } from './connections.ts';
import {
  LINGER_MS,
  MIN_PEERS,
  MORE_PEERS_LONGEST_MS,
  MORE_PEERS_MS,
  RECALLED_PIECES,
  STARVED_MS,
} from './defaults.ts';
import { Downloads } from './downloads.ts';
import { DigestMismatchError, TorrentFailedError } from './errors.ts';
import type { PeerEvents, PeerRole, PeerSession } from './peer-session.ts';
import { type PieceEvents, Pieces, type Source } from './pieces.ts';
import type { PieceBytes, PieceMemory, PiecePool } from './piece-memory.ts';
import type { PieceStorage } from './piece-storage.ts';
import { Readers } from './readers.ts';
import { SignedBatches } from './signed-batches.ts';
import type { Locality } from './whereabouts.ts';
import { Uploads } from './uploads.ts';

/** What one torrent needs of its engine. */
export interface TorrentParts {
  readonly peerId: Buffer;
  /** Where a peer's zone lies, as seen from here. */
  localityOf(zone: string | undefined): Locality;
  readonly now: () => number;
  readonly random: () => number;
  readonly downloads: Bandwidth;
  readonly uploads: Bandwidth;
  readonly pool: PiecePool;
  readonly count: TorrentCounters;
  dial(target: DialTarget, signal: AbortSignal): Promise<Wire>;
  /** Opens a signed batch. @throws BatchError */
  openBatch(signed: Uint8Array): HashBatch;
  /** The whole is verified: it takes its place in the store. */
  commit(torrent: Torrent): Promise<void>;
  /** It has too few sources: ask the tracker for others. */
  morePeers(torrent: Torrent): void;
  /** Nothing more comes of it. */
  ended(torrent: Torrent, error: Error): void;
  offence(peer: PeerSession, offence: Offence, cause: unknown): void;
  banned(offender: string): boolean;
  /** Most connections of one torrent. */
  readonly maxPeers: number;
  /** Whether the process may have one more connection. */
  hasRoom(): boolean;
}

/** What is counted over all torrents. */
export interface TorrentCounters {
  verified(source: Source, bytes: number): void;
  failed(): void;
  sent(role: PeerRole, bytes: number): void;
  /** Bytes of a piece came from a peer in that zone, undefined where it told none. */
  received(zone: string | undefined, bytes: number): void;
}

export interface TorrentIdentity {
  readonly digest: Digest;
  /** `verified`, or the registry for which the blob is being read. */
  readonly scope: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * One blob in the swarm: fetched from peers, from origins or out of `supply`, verified piece by piece and as a
 * whole, read in order while it comes, served to peers. Its parts tell it what happens, and it alone decides what follows.
 */
export class Torrent implements AsyncDisposable {
  readonly digest: Digest;
  readonly scope: string;
  readonly size: number;
  /** 20 bytes. */
  readonly swarmId: Buffer;
  /** Bytes got from each source; what an earlier run left came from the cache. */
  readonly sources: Record<Source, number> = { cache: 0, peer: 0, origin: 0, upstream: 0 };
  readonly pieces: Pieces;
  readonly batches: SignedBatches;
  readonly connections: Connections;
  readonly #parts: TorrentParts;
  readonly #readers = new Readers();
  readonly #downloads: Downloads;
  readonly #uploads: Uploads;
  readonly #completion = Promise.withResolvers<void>();
  #uses = 0;
  /** Peers were told that something is wanted of them. */
  #interested = false;
  #usedAt: number;
  /** What is known of the blob, to be stored with it. */
  #facts: Facts = NO_FACTS;
  #quietAt: number;
  #askMoreAt = 0;
  #askMoreWait = MORE_PEERS_MS;
  /** What is done with the whole blob, or with one that turned out wrong; never rejects. */
  #finishing: Promise<void> = Promise.resolve();
  readonly #ending = new AbortController();
  #resumed: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  #closed: Promise<void> | undefined;

  /**
   * @param options.complete the storage holds all of it, verified before
   * @param options.showsEach an origin's way of seeding, `Distribution`: each piece but the first is shown to one peer
   */
  constructor(
    parts: TorrentParts,
    { digest, scope, size }: TorrentIdentity,
    options: { storage: PieceStorage; complete: boolean; showsEach: boolean },
  ) {
    this.digest = digest;
    this.scope = scope;
    this.size = size;
    this.swarmId = scope === VERIFIED ? verifiedSwarmId(digest) : liveSwarmId(digest, scope);
    this.#parts = parts;
    this.#usedAt = this.#quietAt = parts.now();
    this.pieces = new Pieces(
      { digest, size, complete: options.complete },
      {
        storage: options.storage,
        pool: parts.pool,
        events: this.#pieceEvents(),
        isAhead: (index) => this.#readers.anyUpTo(index),
      },
    );
    this.batches = new SignedBatches(
      { digest, scope },
      {
        open: (signed) => parts.openBatch(signed),
        learn: (batch, signed) => this.pieces.learn(batch, signed),
      },
    );
    const { table, storage } = this.pieces;
    const peers = (): Iterable<PeerSession> => this.connections.values();
    const { now, random } = parts;
    this.connections = new Connections(
      {
        events: this.#peerEvents(),
        peerId: parts.peerId,
        pool: parts.pool,
        now,
        random,
        dial: (target, signal) => parts.dial(target, signal),
        banned: (offender) => parts.banned(offender),
        maxPeers: parts.maxPeers,
        hasRoom: () => parts.hasRoom(),
        greet: (peer) => this.#greet(peer),
      },
      table.count,
    );
    this.#downloads = new Downloads(
      {
        pieces: this.pieces,
        readers: this.#readers,
        positions: () => this.#positions(),
        bandwidth: parts.downloads,
        now,
        random,
        wanted: () => this.wanted,
        peers,
        imports: new ZoneImports(parts.peerId.toString('hex'), table.count),
        // An origin is in nobody's way: what it lacks, all wait for.
        localityOf: options.showsEach ? () => 'unknown' : (zone) => parts.localityOf(zone),
      },
      digest,
    );
    this.#uploads = new Uploads(
      {
        table,
        storage,
        bandwidth: parts.uploads,
        distribution: options.showsEach ? new Distribution<PeerSession>(table.count) : undefined,
        now,
        random,
        peers,
        shareable: (index) => this.pieces.shareable(index),
        unreadable: (index, error) => this.#unreadable(index, error),
        sent: (peer, bytes) => parts.count.sent(peer.role, bytes),
      },
      digest,
    );
    this.#completion.promise.catch(() => undefined);
    if (this.complete) {
      this.#completion.resolve();
      for (const index of table.held) this.#uploads.announce(index, false);
    }
  }

  /** An origin is connected. */
  get hasOrigin(): boolean {
    for (const { role } of this.connections.values()) if (role === 'origin') return true;
    return false;
  }

  /** The whole matched its digest. */
  get complete(): boolean {
    return this.pieces.verified;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Resolves once it is known what an earlier run left: less is missing then than seemed to be. Never rejects. */
  get resumed(): Promise<void> {
    return this.#resumed;
  }

  /** Whether anything is still to be fetched: runtimes close one request and open the next, so it lingers. */
  get wanted(): boolean {
    if (this.#failure || this.pieces.table.complete) return false;
    return this.#uses > 0 || this.#parts.now() - this.#usedAt < LINGER_MS;
  }

  /** Where nothing can be stored: pieces that were here and are not any more, nor with any peer that is connected. */
  get hasGaps(): boolean {
    const { table, storage, checked } = this.pieces;
    if (!storage.inMemory) return false;
    for (let index = 0; index < checked; index++)
      if (!table.held.has(index) && table.availability[index] === 0) return true;
    return false;
  }

  get used(): boolean {
    return this.#uses > 0;
  }

  /** Somebody here reads it, or a peer wants pieces of it. */
  get asked(): boolean {
    return this.#uses > 0 || [...this.connections.values()].some((peer) => peer.peerInterested);
  }

  /** Neither used nor connected nor downloading since then; undefined while it is any of them. Milliseconds. */
  get idleSince(): number | undefined {
    return this.#uses > 0 || this.connections.size > 0 || this.wanted
      ? undefined
      : Math.max(this.#usedAt, this.#quietAt);
  }

  get facts(): Facts {
    return this.#facts;
  }

  /** What was learnt of the blob while it is on its way; a stored blob's facts are the store's. */
  note(facts: Partial<Facts>): void {
    this.#facts = mergeFacts(this.#facts, facts);
  }

  /** The blob is needed until as many `release` as `use` were called. */
  use(): void {
    this.#uses++;
    this.#askMoreWait = MORE_PEERS_MS;
    if (this.wanted && !this.#interested) this.#startDownload();
  }

  release(): void {
    this.#uses--;
    this.#usedAt = this.#parts.now();
  }

  /**
   * Verified bytes from `start` to before `end`, in order, each as soon as it is there; the blob's last piece
   * only after the whole matched its digest. A chunk is the caller's until the next but one is asked for.
   * @throws DigestMismatchError, TorrentFailedError, or the signal's reason
   */
  async *read(
    start: number,
    end: number,
    signal: AbortSignal,
    count: (source: Source, bytes: number) => void = () => undefined,
  ): AsyncGenerator<Buffer> {
    const { table } = this.pieces;
    using cursor = this.#readers.open(Math.floor(start / table.pieceLength), signal);
    this.use();
    // The last two chunks may be in the caller's hands for longer than this runs: their memory is not used again.
    let before: PieceMemory | undefined;
    try {
      // No piece is held back that an empty blob could be verified by.
      if (this.size === 0) await this.whenComplete(signal);
      for (let at = start; at < end;) {
        signal.throwIfAborted();
        if (this.#failure) throw this.#failure;
        const index = (cursor.index = Math.floor(at / table.pieceLength));
        if (!this.pieces.readable(index)) {
          this.#recall(index);
          this.#fetchOn();
          await this.#readers.wait(cursor, this.#parts.now());
          continue;
        }
        const offset = at - index * table.pieceLength;
        const length = Math.min(table.sizeOf(index) - offset, end - at);
        const piece = await this.#bytes(index, offset, length);
        if (!piece) continue;
        at += length;
        const read = offset + length === table.sizeOf(index);
        count(read ? this.pieces.takeSource(index) : this.pieces.sourceOf(index), length);
        yield piece.bytes;
        before?.release();
        before = piece.memory;
        if (!read) continue;
        cursor.index = index + 1;
        this.pieces.release(index);
      }
    } finally {
      this.release();
    }
  }

  /**
   * Begins to verify what an earlier run left on disk, what readers wait for first. What is found good can be read at
   * once; no piece is fetched before it was looked for, lest it come twice.
   */
  resume(): void {
    this.#resumed = this.pieces
      .resume(() => this.#positions(), this.#ending.signal)
      .then(() => {
        if (this.wanted) this.#startDownload();
      });
  }

  /** Somebody who may have pieces; dialled by the torrent's swarm id unless another scope or id is told. */
  addPeer(peer: Omit<DialTarget, 'infoHash'> & { infoHash?: Buffer; scope?: string }): void {
    if (this.#failure) return;
    const { scope, ...address } = peer;
    const infoHash = scope === VERIFIED ? verifiedSwarmId(this.digest) : this.swarmId;
    this.connections.offer({ infoHash, ...address });
    if (this.wanted) this.connections.dial();
  }

  /**
   * A whole piece as upstream gave it. With a known signed hash it is verified and shared at once; without, it
   * serves own readers, and peers only when the whole is verified.
   * @param memory the torrent's from now on
   * @param link of the digest's chain: the one after it, where the caller has just come to it
   * @throws RangeError, Error if it does not match the signed hash
   */
  supply(index: number, memory: PieceMemory, link?: Buffer): void {
    if (this.#failure) memory.release();
    else this.pieces.supply(index, memory, link);
  }

  /** Asks who has the piece for its signed hash, once in a while. */
  askHashes(index: number): void {
    for (const peer of this.connections.values()) {
      if (peer.pieces.has(index)) this.#downloads.askHashes(peer, index);
    }
  }

  /** Resolves once the disk takes more: who supplies faster than it writes would fill the memory. */
  caughtUp(): Promise<void> {
    return this.pieces.storage.caughtUp();
  }

  /**
   * The next run of at most `limit` pieces from `from` on that are not held, nor, where `skipPeers`, under way
   * or to be had of a peer; one that may still be found on disk is not. Where nothing can be stored, pieces that all readers and the digest have had are not missing.
   */
  missing(from: number, limit: number, skipPeers = false): { first: number; count: number } | undefined {
    const { table, storage } = this.pieces;
    const lacks = (index: number): boolean =>
      !table.held.has(index) &&
      !this.pieces.unchecked(index) &&
      !(skipPeers && (table.active.has(index) || table.availability[index]! > 0));
    let first = storage.inMemory ? Math.max(from, this.#firstNeeded()) : from;
    while (first < table.count && !lacks(first)) first++;
    if (first >= table.count) return undefined;
    let end = first + 1;
    while (end < table.count && end - first < limit && lacks(end)) end++;
    return { first, count: end - first };
  }

  /** Resolves once the whole is verified and stored, if it can be. @throws what it failed with, or the signal's reason */
  async whenComplete(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([this.#completion.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Cuts all readers and connections. What was verified is kept for the next attempt. */
  fail(cause: Error): void {
    if (this.#failure) return;
    this.#failure = cause instanceof DigestMismatchError ? cause : new TorrentFailedError(this.digest, cause);
    this.#readers.fail(this.#failure);
    this.#completion.reject(this.#failure);
    this.#ending.abort();
    this.connections.close();
    this.#parts.ended(this, this.#failure);
  }

  /** The engine's clock, every `TICK_MS`. */
  tick(now: number): void {
    this.#uploads.tick(now);
    this.connections.closeQuiet(now);
    if (!this.wanted) return this.#rest();
    this.#downloads.tick(now);
    for (const index of this.pieces.parked()) this.askHashes(index);
    this.connections.dial();
    const starves = this.#readers.longestWait(now) >= STARVED_MS;
    if (this.connections.size < MIN_PEERS || starves) this.#askMore(now);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    if (!this.complete) this.fail(new Error('closed'));
    this.connections.close();
    await this.#resumed;
    await this.#finishing;
    await this.pieces.storage[Symbol.asyncDispose]();
  }

  #peerEvents(): PeerEvents {
    return {
      gained: (peer, indices) => this.#gained(peer, indices),
      disowned: (peer, index) => {
        this.pieces.table.peerLacks(index);
        this.pieces.abandonedBy(peer);
      },
      ready: (peer) => this.#downloads.fill(peer),
      introduced: (peer) => this.#downloads.introduced(peer),
      wants: (block) => this.pieces.wants(block),
      arrived: (peer, block, data) => {
        this.#parts.count.received(peer.zone, block.length);
        this.pieces.arrived(peer, block, data);
        this.#downloads.fill(peer);
      },
      lost: (blocks) => this.#lost(blocks),
      interest: (peer) => this.#uploads.interest(peer),
      serve: (peer) => this.#uploads.serve(peer),
      hashesAsked: (peer, index) => {
        if (!peer.wire.member) return;
        for (const signed of this.pieces.hashes.batchesFor(index)) peer.sendHashes(signed);
      },
      hashesCame: (peer, signed) => this.#hashesCame(peer, signed),
      pieceWanted: (peer, index) => {
        const { table } = this.pieces;
        if (index >= table.count) return;
        if (peer.pieces.remove(index)) table.peerLacks(index);
        this.#uploads.want(peer, index);
      },
      broke: (peer, reason) => this.#misfit(peer, reason),
      closed: (peer) => this.#gone(peer),
    };
  }

  #pieceEvents(): PieceEvents {
    return {
      absent: () => this.#downloads.fillAll(),
      held: (index, source, bytes) => this.#held(index, source, bytes),
      shareable: (index) => this.#uploads.announce(index, this.pieces.sourceOf(index) !== 'peer'),
      bad: (index, contributors) => this.#bad(index, contributors),
      convicted: (liars) => {
        for (const peer of liars) this.#punish(peer, 'badPiece', 'the piece came right from another');
      },
      hashMissing: (index) => this.askHashes(index),
      vouched: (signed) => this.#relay(signed),
      whole: () => void (this.#finishing = this.#whole()),
      mismatch: (error) => this.#contradicted(error),
      unreadable: (index, error) => this.#unreadable(index, error),
    };
  }

  #greet(peer: PeerSession): void {
    this.#uploads.greet(peer);
    // An origin shows nothing to a peer that wants nothing, and takes a member that calls for one that wants.
    if (!peer.wire.member) return;
    if (this.wanted) peer.setInterested(true);
    else if (peer.wire.outgoing) peer.wire.uninterested();
  }

  #gained(peer: PeerSession, indices: readonly number[]): void {
    const { table } = this.pieces;
    let useful = false;
    for (const index of indices) {
      table.peerHas(index);
      this.#uploads.peerHas(peer, index);
      useful ||= !table.held.has(index);
    }
    if (!useful || !this.wanted) return;
    peer.setInterested(true);
    this.#downloads.gained(peer, indices);
  }

  /** Blocks that will not come from whom they were asked of. */
  #lost(blocks: readonly Block[]): void {
    if (blocks.length === 0) return;
    this.#downloads.abandon(blocks);
    queueMicrotask(() => this.#downloads.fillAll());
  }

  #hashesCame(peer: PeerSession, signed: Uint8Array): void {
    try {
      this.batches.add(signed);
    } catch (error) {
      // The peer only passed on what an origin signed: the size or the hashes known here are wrong, or an origin is.
      if (error instanceof DigestMismatchError) this.#contradicted(error);
      else this.#punish(peer, 'badHashes', error);
    }
  }

  /** Peers that know the hashes by a registry's batches ask for no others, and would have none to pass on later. */
  #relay(signed: Uint8Array): void {
    if (this.scope === VERIFIED) return;
    for (const peer of this.connections.values())
      if (peer.wire.member && peer.introduced) peer.sendHashes(signed);
  }

  #gone(peer: PeerSession): void {
    this.connections.drop(peer);
    this.pieces.table.peerGone(peer.pieces);
    this.pieces.abandonedBy(peer);
    this.#uploads.leave(peer);
    this.#quietAt = this.#parts.now();
  }

  #held(index: number, source: Source, bytes: number): void {
    this.sources[source] += bytes;
    // What an earlier run left was counted then.
    this.#parts.count.verified(source, source === 'cache' ? 0 : bytes);
    for (const peer of this.connections.values()) peer.cancelPiece(index);
    this.#readers.wake(index);
    if (this.pieces.table.complete) this.#rest();
  }

  #bad(index: number, contributors: ReadonlySet<PeerSession>): void {
    this.#parts.count.failed();
    for (const peer of this.connections.values()) peer.cancelPiece(index);
    const offence = contributors.size === 1 ? 'badPiece' : 'suspectPiece';
    for (const peer of contributors) this.#punish(peer, offence, 'bytes do not match the signed hash');
    this.#downloads.fillAll();
  }

  /** What it has does not fit the blob's size. Where no origin has signed that, a registry may have lied of it. */
  #misfit(peer: PeerSession, reason: string): void {
    if (this.pieces.hashes.any) this.#punish(peer, 'protocol', reason);
    else peer.wire.close(new Error(reason));
  }

  #punish(peer: PeerSession, offence: Offence, cause: unknown): void {
    this.#parts.offence(peer, offence, cause);
    if (offence !== 'suspectPiece' || this.#parts.banned(peer.offender))
      peer.wire.close(new Error(`${offence}: ${String(cause)}`));
  }

  /** The stored bytes are gone or unreadable: fetch them again while that is possible, else give the blob up. */
  #unreadable(index: number, error: unknown): void {
    if (this.complete) return this.fail(asError(error));
    this.pieces.lose(index);
    this.#fetchOn();
  }

  async #bytes(index: number, offset: number, length: number): Promise<PieceBytes | undefined> {
    try {
      return await this.pieces.storage.read(index, offset, length);
    } catch (error) {
      this.#unreadable(index, error);
      return undefined;
    }
  }

  async #whole(): Promise<void> {
    this.batches.believe(VERIFIED);
    this.#readers.wake(this.pieces.table.count - 1);
    await this.#parts.commit(this);
    this.#completion.resolve();
  }

  /** Nothing of what lied is kept. */
  #contradicted(error: DigestMismatchError): void {
    if (this.#failure) return;
    this.#parts.count.failed();
    // In front of the failure, which would have the bytes kept for the next attempt.
    this.#finishing = this.pieces.storage.discard();
    this.fail(error);
  }

  /** Asks all who may have what was held once, and is read again now, to say so: they did not when it was held here. */
  #recall(from: number): void {
    const { lost } = this.pieces;
    const end = Math.min(from + RECALLED_PIECES, this.pieces.table.count);
    for (let index = from; index < end; index++) {
      if (!lost.remove(index)) continue;
      for (const peer of this.connections.values()) if (peer.wire.member) peer.want(index);
    }
  }

  /** What was held and is not any more, for want of room or by a fault of the disk, is fetched like all else. */
  #fetchOn(): void {
    if (this.#interested) this.#downloads.fillAll();
    else this.#startDownload();
  }

  #startDownload(): void {
    const { table } = this.pieces;
    this.#interested = true;
    for (const peer of this.connections.values()) {
      const useful = peer.pieces.some((index) => !table.held.has(index));
      if (peer.wire.member || useful) peer.setInterested(true);
    }
    this.connections.dial();
    this.#downloads.fillAll();
  }

  /** Nothing is to be fetched: no peer has to keep a place for us. */
  #rest(): void {
    this.#interested = false;
    for (const peer of this.connections.values()) peer.setInterested(false);
  }

  /** Pieces that readers need next, and what they wait for where that is the whole. */
  *#positions(): Generator<number> {
    for (const { index } of this.#readers.cursors) {
      yield index;
      const awaited = this.pieces.awaited(index);
      if (awaited !== index) yield awaited;
    }
  }

  #firstNeeded(): number {
    return Math.min(this.pieces.checked, ...[...this.#readers.cursors].map(({ index }) => index));
  }

  /** Asks the tracker for more peers, ever more seldom: at the swarm's edge there may be none. */
  #askMore(now: number): void {
    if (now < this.#askMoreAt) return;
    this.#askMoreAt = now + this.#askMoreWait * (0.75 + this.#parts.random() / 2);
    this.#askMoreWait = Math.min(this.#askMoreWait * 2, MORE_PEERS_LONGEST_MS);
    this.#parts.morePeers(this);
  }
}

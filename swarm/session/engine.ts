import { asError } from '#registry/as-error.ts';
import type { Digest } from '#registry/digest.ts';
import type { Announcer } from '#swarm/announce/announcer.ts';
import { MAX_BLOB_SIZE } from '#swarm/core/piece-length.ts';
import { PeerScores } from '#swarm/core/peer-score.ts';
import { type BatchVerifier, openBatch, VERIFIED } from '#swarm/hashes/batch.ts';
import type { BlobStore, Facts, PartialBlob, PartialKey, StoredBlob } from '#swarm/store/blob-store.ts';
import { BlobDamagedError, StoreFullError } from '#swarm/store/errors.ts';
import type { PeerTransport, WireAcceptor } from '#swarm/wire/transport.ts';
import { Bandwidth } from './bandwidth.ts';
import { CheckedBlob } from './checked-blob.ts';
import {
  FREE_PIECE_BYTES,
  IDLE_MS,
  MAX_POISONED,
  MAX_TORRENTS,
  PIECE_CACHE_LIMITS,
  POISONED_MS,
  TICK_MS,
} from './defaults.ts';
import { DigestMismatchError, TooManyTorrentsError } from './errors.ts';
import { HashTable } from './hash-table.ts';
import { Memberships } from './memberships.ts';
import { PieceCache } from './piece-cache.ts';
import { ReadMemory } from './read-memory.ts';
import { PiecePool } from './piece-memory.ts';
import { type PiecePlace, PieceStorage, WriteBacklog } from './piece-storage.ts';
import type { Whereabouts } from './whereabouts.ts';
import { Torrent, type TorrentCounters, type TorrentParts } from './torrent.ts';

/** The part of a logger that the engine writes to. */
interface SessionLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface EngineParts {
  readonly store: BlobStore;
  readonly transport: PeerTransport;
  readonly announcer: Announcer;
  /** Own peer id, 20 bytes. */
  readonly peerId: Buffer;
  readonly whereabouts: Pick<Whereabouts, 'localityOf'>;
  /** Only their signatures vouch for piece hashes. */
  readonly trusted: readonly BatchVerifier[];
  readonly count: TorrentCounters;
  readonly logger: SessionLogger;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface EngineLimits {
  readonly downloadBytesPerSecond?: number | undefined;
  readonly uploadBytesPerSecond?: number | undefined;
}

export interface EngineOptions {
  /** An origin's way of seeding, `Distribution`: each piece but the first is shown to one peer. */
  readonly showsEach: boolean;
  readonly limits: EngineLimits;
  /** Connections for one blob, and for all together. */
  readonly peers: { readonly maxPeersPerSwarm: number; readonly maxConnections: number };
}

/** Set behind the scope of what is not proved to be its registry's: no registry's name has a space. */
const UNPROVED = ' unproved';

/**
 * Content is bound to the registries that delivered it (design, "Rights"): else anyone with a registry of their own
 * could claim a digest and be given another's bytes.
 * - `registry`: only bytes that origins signed as this registry's own.
 * - `proved`: the registry delivered the content or proved to have it: what was verified for anybody will do.
 * - `unproved`: likewise, in a torrent apart: the asker has the registry prove it before a byte goes out.
 */
export type Trust = 'registry' | 'proved' | 'unproved';

export interface TorrentRequest {
  readonly digest: Digest;
  /** `verified`, or the registry for which the blob is read. */
  readonly scope: string;
  /** Whose bytes may serve a caller of that registry; `registry` unless told. Of no account with scope `verified`. */
  readonly trust?: Trust;
  /** Bytes. */
  readonly size: number;
  /** Without any peer: all bytes come out of `supply`. For content that the swarm got wrong. */
  readonly alone?: boolean;
}

export interface EngineStatus {
  readonly torrents: number;
  readonly downloading: number;
  readonly connections: number;
  readonly seeded: number;
}

/**
 * All torrents of one process. Downloads live while somebody uses them; what the store holds is announced as
 * seeded, and a torrent for it opened only while a peer is connected, so that a large cache costs little.
 */
export class Engine implements AsyncDisposable {
  readonly #parts: EngineParts;
  readonly #options: EngineOptions;
  readonly #cache: PieceCache;
  readonly #backlog = new WriteBacklog();
  readonly #pool = new PiecePool(FREE_PIECE_BYTES);
  readonly #reads = new ReadMemory(this.#pool);
  readonly #scores = new PeerScores();
  readonly #downloads: Bandwidth;
  readonly #uploads: Bandwidth;
  readonly #torrentParts: TorrentParts;
  readonly #memberships: Memberships;
  readonly #torrents = new Map<string, Torrent>();
  /** Torrents being opened or closed, by the same key: the next who wants one waits. */
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #poisoned = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(parts: EngineParts, options: EngineOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#cache = new PieceCache(PIECE_CACHE_LIMITS, parts.now);
    this.#downloads = new Bandwidth(options.limits.downloadBytesPerSecond, parts.now);
    this.#uploads = new Bandwidth(options.limits.uploadBytesPerSecond, parts.now);
    this.#torrentParts = this.#partsOfTorrents();
    this.#memberships = new Memberships({
      announcer: parts.announcer,
      holds: (digest) => parts.store.has(digest),
      isOrigin: options.showsEach,
    });
    for (const digest of parts.store.digests()) this.#memberships.seed(digest);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  get status(): EngineStatus {
    const torrents = [...this.#torrents.values()];
    return {
      torrents: torrents.length,
      downloading: torrents.filter((torrent) => torrent.wanted).length,
      connections: torrents.reduce((sum, torrent) => sum + torrent.connections.size, 0),
      seeded: this.#memberships.seeded,
    };
  }

  /** Who answers an incoming connection; undefined: nobody knows that swarm here, or it is none for strangers. */
  accept(infoHash: Buffer, member: boolean): WireAcceptor | undefined {
    const answer = this.#memberships.answer(infoHash, { member });
    if (!answer || this.#closing.signal.aborted) return undefined;
    const role = member ? 'agent' : 'stranger';
    return (wire) => {
      if (answer instanceof Torrent) return answer.connections.attach(wire, role);
      this.#stored(answer).then(
        (opened) => opened.connections.attach(wire, role),
        (error: unknown) => wire.close(asError(error)),
      );
    };
  }

  /**
   * The torrent of a blob, shared by all who ask for the same; `release` it once. What the store has is complete at
   * once, unless only the registry's own bytes will do.
   * @throws TooManyTorrentsError; RangeError for a size that no blob may have
   */
  async torrent(request: TorrentRequest): Promise<Torrent> {
    const open = request.scope === VERIFIED || (request.trust ?? 'registry') !== 'registry';
    const stored = open ? await this.#ifStored(request.digest) : undefined;
    const torrent = stored ?? (await this.#download(request));
    if (open) torrent.batches.believe(VERIFIED);
    torrent.use();
    return torrent;
  }

  /** The registry has proved to have what a torrent apart takes: from now on it is the torrent of that registry. */
  proved({ digest, scope }: Pick<Torrent, 'digest' | 'scope'>): void {
    const apart = keyOf(digest, `${scope}${UNPROVED}`);
    const joint = keyOf(digest, scope);
    const torrent = this.#torrents.get(apart);
    if (!torrent || this.#torrents.has(joint) || this.#changing.has(joint)) return;
    this.#torrents.delete(apart);
    this.#torrents.set(joint, torrent);
  }

  /** The torrent that is open for a blob, if any. */
  find(digest: Digest, scope: string): Torrent | undefined {
    return this.#torrents.get(keyOf(digest, VERIFIED)) ?? this.#torrents.get(keyOf(digest, scope));
  }

  /** Whether bytes for this digest were wrong of late, so that the swarm is not to be asked for it. */
  poisoned(digest: Digest, scope: string): boolean {
    return (this.#poisoned.get(keyOf(digest, scope)) ?? 0) > this.#parts.now();
  }

  setLimits(limits: EngineLimits): void {
    this.#downloads.setLimit(limits.downloadBytesPerSecond);
    this.#uploads.setLimit(limits.uploadBytesPerSecond);
  }

  /**
   * For who reads by another way than a torrent: resolves when `bytes` may come in, under the same limit as the
   * swarm's and as fairly. Rejects with the signal's reason.
   * @param flow what shares one turn: a blob's digest
   */
  async passDownload(flow: string, bytes: number, signal: AbortSignal): Promise<void> {
    this.#closing.signal.throwIfAborted();
    signal.throwIfAborted();
    // A signal for each chunk costs more than most chunks have to wait.
    if (this.#downloads.unlimited) return;
    await this.#downloads.passed(flow, bytes, AbortSignal.any([signal, this.#closing.signal]));
  }

  /** Whether the limit of downloads, and not what others send, makes this blob wait now. */
  holdsBack(digest: Digest): boolean {
    return this.#downloads.holdsBack(digest);
  }

  /**
   * Stores small content that came by another way than a torrent. It can be read as soon as this resolves, and others may
   * have it from here once it is on disk.
   * @param notKept called instead where there is no room, or the disk fails
   */
  async keep(
    digest: Digest,
    bytes: Uint8Array,
    facts: Partial<Facts>,
    notKept: (error: Error) => void,
  ): Promise<void> {
    const { store } = this.#parts;
    const failed = (error: unknown): void => notKept(asError(error));
    try {
      const { written } = await store.put(digest, bytes, facts);
      written.then(() => {
        if (!this.#closing.signal.aborted && store.has(digest)) this.#memberships.seed(digest);
      }, failed);
    } catch (error) {
      failed(error);
    }
  }

  /** The store does not have the blob any more. */
  evicted(digest: Digest): void {
    this.#memberships.unseed(digest);
    // What is open is never evicted: it turned out to be damaged, and whoever wants it now has to fetch it anew.
    for (const torrent of this.#torrents.values())
      if (torrent.digest === digest && torrent.pieces.storage.stored)
        torrent.fail(new BlobDamagedError('the store has dropped the blob'));
  }

  /** Stock clients know the stored blob by this BEP 3 info-hash. */
  answerAlso(digest: Digest, infoHash: Buffer): void {
    this.#memberships.answerAlso(digest, infoHash);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    await Promise.allSettled(this.#changing.values());
    await Promise.allSettled([...this.#torrents.values()].map((torrent) => this.#close(torrent)));
    this.#downloads[Symbol.dispose]();
    this.#uploads[Symbol.dispose]();
  }

  #partsOfTorrents(): TorrentParts {
    const { peerId, now, random, count, transport, trusted, logger, whereabouts } = this.#parts;
    return {
      peerId,
      localityOf: (zone) => whereabouts.localityOf(zone),
      now,
      random,
      count,
      downloads: this.#downloads,
      uploads: this.#uploads,
      pool: this.#pool,
      dial: (target, signal) => transport.dial(target, signal),
      openBatch: (signed) => openBatch(signed, trusted),
      commit: (torrent) => this.#commit(torrent),
      morePeers: (torrent) => this.#memberships.more(torrent),
      ended: (torrent, error) => this.#ended(torrent, error),
      offence: (peer, offence, cause) => {
        const banned = this.#scores.note(peer.offender, offence, now());
        logger.warn({ peer: peer.address, offence, banned, cause: String(cause) }, 'a peer did wrong');
        if (banned) for (const torrent of this.#torrents.values()) torrent.connections.cut(peer.offender);
      },
      banned: (offender) => this.#scores.banned(offender, now()),
      maxPeers: this.#options.peers.maxPeersPerSwarm,
      hasRoom: () => transport.size <= this.#options.peers.maxConnections,
    };
  }

  async #download({ digest, scope, size, trust, alone = false }: TorrentRequest): Promise<Torrent> {
    if (!Number.isSafeInteger(size) || size < 0 || size > MAX_BLOB_SIZE)
      throw new RangeError(`a blob of ${size} bytes: 0 to ${MAX_BLOB_SIZE} are allowed`);
    // What is not equally trusted must not mix, on disk neither.
    const apart = alone ? ' alone' : trust === 'unproved' ? UNPROVED : '';
    const place = `${scope}${apart}`;
    const key = keyOf(digest, place);
    return this.#open(key, async () => {
      const partial = await this.#partial({ digest, scope: place }, size);
      const storage = this.#storage(digest, size, partial && { kind: 'partial', blob: partial });
      const torrent = new Torrent(
        this.#torrentParts,
        { digest, scope, size },
        { storage, complete: false, showsEach: this.#options.showsEach },
      );
      if (partial?.resumed) {
        this.#learnKept(torrent, await partial.batches());
        torrent.resume();
      }
      if (!alone) this.#memberships.join(torrent);
      return torrent;
    });
  }

  #storage(digest: Digest, size: number, place: PiecePlace): PieceStorage {
    const onFull = (error: unknown): void => this.#noRoom(digest, error);
    const parts = {
      cache: this.#cache,
      backlog: this.#backlog,
      pool: this.#pool,
      now: this.#parts.now,
      onFull,
    };
    return new PieceStorage(parts, { size, place });
  }

  /** Undefined where the store has no room. */
  async #partial(key: PartialKey, size: number): Promise<PartialBlob | undefined> {
    const { store } = this.#parts;
    let partial = await store.partial(key, size).catch(orFull);
    if (partial instanceof StoreFullError && (await this.#closeUnwanted()))
      partial = await store.partial(key, size).catch(orFull);
    if (!(partial instanceof StoreFullError)) return partial;
    this.#noRoom(key.digest, partial);
    return undefined;
  }

  /** Where it is for want of room, what was wanted says it all. */
  #noRoom(digest: Digest, error: unknown): void {
    const why = error instanceof StoreFullError ? { reason: error.message } : { err: error };
    this.#parts.logger.warn({ digest, ...why }, 'not stored: no room');
  }

  /** Open blobs cannot be evicted: those that nobody wants anything of now are closed. False where there are none. */
  async #closeUnwanted(): Promise<boolean> {
    const unwanted = [...this.#torrents.values()].filter((torrent) => torrent.complete && !torrent.asked);
    await Promise.all(unwanted.map((torrent) => this.#close(torrent).catch(() => undefined)));
    return unwanted.length > 0;
  }

  /** Undefined where the store does not have the blob, or only a damaged one, which it drops when it finds out. */
  async #ifStored(digest: Digest): Promise<Torrent | undefined> {
    const { store } = this.#parts;
    if (!store.has(digest)) return undefined;
    try {
      return await this.#stored(digest);
    } catch (error) {
      if (store.has(digest)) throw error;
      return undefined;
    }
  }

  /** The torrent of a blob that the store holds, opened while somebody needs it. */
  async #stored(digest: Digest): Promise<Torrent> {
    return this.#open(keyOf(digest, VERIFIED), async () => {
      const blob = await this.#parts.store.open(digest, this.#closing.signal);
      if (!blob) throw new Error(`${digest} is not stored any more`);
      const storage = this.#storage(digest, blob.size, { kind: 'stored', blob });
      const torrent = new Torrent(
        this.#torrentParts,
        { digest, scope: VERIFIED, size: blob.size },
        { storage, complete: true, showsEach: this.#options.showsEach },
      );
      this.#learnKept(torrent, await blob.batches());
      return torrent;
    });
  }

  /**
   * What the store holds, to be read without a torrent; undefined where it does not, or only a damaged one.
   * @throws the signal's reason
   */
  async openStored(digest: Digest, signal?: AbortSignal): Promise<CheckedBlob | undefined> {
    const blob = await this.#parts.store.open(digest, signal);
    if (!blob) return undefined;
    const hashes = new HashTable(blob);
    // Of a small blob the digest says all.
    const batches = hashes.complete ? [] : await this.#keptBatches(blob);
    this.#learn(digest, hashes, batches, (signed) => {
      const batch = openBatch(signed, this.#parts.trusted);
      if (batch.digest === digest) hashes.add(batch, signed);
    });
    return new CheckedBlob(blob, hashes, this.#reads);
  }

  /** None where they cannot be read: whoever reads all of the blob still learns whether it is what its digest says. */
  async #keptBatches(blob: StoredBlob): Promise<Uint8Array[]> {
    try {
      return await blob.batches();
    } catch (error) {
      this.#parts.logger.warn(
        { digest: blob.digest, err: error },
        'the hashes of a stored blob cannot be read',
      );
      return [];
    }
  }

  async #open(key: string, make: () => Promise<Torrent>): Promise<Torrent> {
    this.#closing.signal.throwIfAborted();
    // One that is being opened or closed is waited for: the store lets one hold a partial blob at a time.
    for (let change = this.#changing.get(key); change; change = this.#changing.get(key))
      await change.catch(() => undefined);
    const open = this.#torrents.get(key);
    if (open && !open.failure) return open;
    if (this.#torrents.size >= MAX_TORRENTS) throw new TooManyTorrentsError(MAX_TORRENTS);
    return this.#change(key, async () => {
      const torrent = await make();
      // One that has failed by now was closed then.
      if (!torrent.failure) this.#torrents.set(key, torrent);
      return torrent;
    });
  }

  #change<T>(key: string, work: () => Promise<T>): Promise<T> {
    const change = work().finally(() => this.#changing.delete(key));
    this.#changing.set(key, change);
    return change;
  }

  /**
   * Batches that were kept; those of an origin that is no longer trusted count for nothing. Those of the verified
   * scope were kept last, and with them the others are not needed.
   */
  #learn(
    digest: Digest,
    hashes: HashTable,
    batches: readonly Uint8Array[],
    learn: (signed: Uint8Array) => void,
  ): void {
    for (const signed of batches.toReversed()) {
      if (hashes.complete) return;
      try {
        learn(signed);
      } catch (error) {
        this.#parts.logger.info({ digest, err: error }, 'a kept batch of hashes is of no use');
      }
    }
  }

  #learnKept(torrent: Torrent, batches: readonly Uint8Array[]): void {
    this.#learn(torrent.digest, torrent.pieces.hashes, batches, (signed) => torrent.batches.recall(signed));
  }

  async #commit(torrent: Torrent): Promise<void> {
    const { store, logger } = this.#parts;
    const { digest } = torrent;
    try {
      await torrent.pieces.storage.commit(digest, torrent.facts, (stored) => store.open(stored));
    } catch (error) {
      return logger.warn({ digest, err: error }, 'a complete blob could not be stored');
    }
    if (!store.has(digest)) return;
    this.#memberships.completed(torrent);
    const verified = keyOf(digest, VERIFIED);
    const key = this.#keyIn(torrent);
    // Another registry's read of the same blob may have been whole first, or this torrent be closing.
    if (key === undefined || this.#torrents.has(verified) || this.#changing.has(verified)) return;
    this.#torrents.delete(key);
    this.#torrents.set(verified, torrent);
  }

  #ended(torrent: Torrent, error: Error): void {
    if (error instanceof DigestMismatchError) this.#poison(torrent);
    this.#retire(torrent);
  }

  #retire(torrent: Torrent): void {
    this.#close(torrent).catch((error: unknown) =>
      this.#parts.logger.warn({ digest: torrent.digest, err: error }, 'a torrent was not closed properly'),
    );
  }

  #poison(torrent: Torrent): void {
    const key = keyOf(torrent.digest, torrent.scope);
    this.#poisoned.delete(key);
    this.#poisoned.set(key, this.#parts.now() + POISONED_MS);
    if (this.#poisoned.size > MAX_POISONED) this.#poisoned.delete(this.#poisoned.keys().next().value!);
  }

  async #close(torrent: Torrent): Promise<void> {
    const key = this.#keyIn(torrent);
    if (key !== undefined) this.#torrents.delete(key);
    this.#memberships.leave(torrent);
    await this.#change(key ?? keyOf(torrent.digest, torrent.scope), () => torrent[Symbol.asyncDispose]());
  }

  #keyIn(torrent: Torrent): string | undefined {
    for (const [key, open] of this.#torrents) if (open === torrent) return key;
    return undefined;
  }

  #tick(): void {
    const now = this.#parts.now();
    for (const torrent of this.#torrents.values()) {
      torrent.tick(now);
      if (torrent.idleSince !== undefined && now - torrent.idleSince > IDLE_MS) this.#retire(torrent);
    }
  }
}

function keyOf(digest: Digest, scope: string): string {
  return `${digest} ${scope}`;
}

/** @throws what is no lack of room */
function orFull(error: unknown): StoreFullError {
  if (error instanceof StoreFullError) return error;
  throw error;
}

import type { BlobRead } from '#registry/blob-read.ts';
import { pause } from '#registry/retry.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import type { Bandwidth } from '#swarm/session/bandwidth.ts';
import type { DigestMismatchError } from '#swarm/session/errors.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { abortable } from '#swarm/store/abortable.ts';
import type { Caller } from './caller.ts';
import {
  LINGER_MS,
  MEMORY_WINDOW_BYTES,
  PAUSE_MS,
  PEERS_PATIENCE_MS,
  SWARM_WAIT_MS,
  UNSIGNED_PATIENCE_MS,
  WANTED_CHECK_MS,
} from './defaults.ts';
import { NobodyWaitsError } from './errors.ts';
import type { HashSigner } from './hash-signer.ts';
import { PieceFeed } from './piece-feed.ts';
import type { UpstreamReader } from './upstream-reader.ts';
import type { WaitingCallers } from './waiting-callers.ts';

interface PieceRun {
  readonly first: number;
  readonly count: number;
  /**
   * Why they are read though peers have them. `unsigned`: nobody has signed their hashes, so their bytes are of no use.
   * `gap`: memory is full of what follows them, which cannot be let go before the digest has got there.
   */
  readonly despitePeers?: 'unsigned' | 'gap';
}

export interface ReadingParts {
  readonly torrent: Torrent;
  readonly callers: WaitingCallers;
  readonly reader: Pick<UpstreamReader, 'read'>;
  readonly signer: HashSigner;
  readonly bandwidth: Bandwidth;
  readonly now: () => number;
}

/**
 * The one read of a blob for one registry, however many ask: bytes become pieces, are signed and supplied to the
 * torrent, which seeds them at once. Only what is neither held nor to be had of peers is read.
 */
export class Reading {
  readonly torrent: Torrent;
  /** Repositories of the registry that are known to hold the blob. */
  readonly repositories: Set<string>;
  readonly #parts: ReadingParts;
  /** Where the disk takes nothing: pieces in memory that no peer is known to have. */
  readonly #inMemory = new Set<number>();
  #askedAt: number;
  #checkedAt: number;

  constructor(parts: ReadingParts) {
    this.#parts = parts;
    this.torrent = parts.torrent;
    this.repositories = new Set([parts.callers.current.repository]);
    this.#askedAt = this.#checkedAt = parts.now();
  }

  /** One more who waits; upstream has said that its repository holds the blob. */
  join(caller: Caller): void {
    this.repositories.add(caller.repository);
    this.#parts.callers.offer(caller);
    this.#askedAt = this.#parts.now();
  }

  /**
   * Reads until the whole is verified, and stored if it can be.
   * @param opened the answer to the request that opened the read, its body from the first byte on
   * @throws NobodyWaitsError, DigestMismatchError, what the reader throws, the signal's reason
   */
  async run(opened: BlobRead | undefined, isTakeOver: boolean, signal: AbortSignal): Promise<void> {
    let body = opened;
    const drop = (): void => {
      body?.cancel();
      body = undefined;
    };
    try {
      // Looking through a large left-over takes so long that a registry would give up a body that nobody takes.
      if (this.torrent.pieces.anyUnchecked) drop();
      // What may be on disk is not asked for; nor is it there to be waited for.
      await abortable(this.torrent.resumed, signal);
      if (isTakeOver || this.torrent.pieces.table.held.count > 0) {
        drop();
        await pause(SWARM_WAIT_MS, signal);
      }
      for (let run = await this.#next(signal); run; run = await this.#next(signal)) {
        if (run.first > 0) drop();
        await this.#read(run, body, signal);
        body = undefined;
      }
    } finally {
      drop();
    }
    await this.torrent.whenComplete(signal);
  }

  /** The next pieces that only upstream can give; undefined when there is nothing to be read any more. */
  async #next(signal: AbortSignal): Promise<PieceRun | undefined> {
    const { table } = this.torrent.pieces;
    let held = table.held.count;
    let since = this.#parts.now();
    for (;;) {
      this.#throwIfOver();
      const gap = this.#isFull() ? this.#gap() : undefined;
      if (gap) return gap;
      const scarce = this.torrent.missing(0, Infinity, true);
      if (scarce && this.#canBeSigned(scarce)) return scarce;
      const rest = this.torrent.missing(0, Infinity);
      if (!rest || this.torrent.complete) return undefined;
      if (table.held.count > held) {
        held = table.held.count;
        since = this.#parts.now();
      }
      const waitedMs = this.#parts.now() - since;
      const unsigned = this.#unsignedFrom(rest);
      if (this.#canBeSigned(rest)) {
        if (unsigned > 0 && waitedMs > UNSIGNED_PATIENCE_MS)
          return { first: rest.first, count: unsigned, despitePeers: 'unsigned' };
        if (waitedMs > PEERS_PATIENCE_MS) return { first: rest.first, count: 1 };
      }
      await pause(PAUSE_MS, signal);
    }
  }

  async #read(
    { first, count, despitePeers }: PieceRun,
    body: BlobRead | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { size } = this.torrent;
    const length = pieceLength(size);
    const end = Math.min(size, (first + count) * length);
    const onSupplied = (index: number): void => {
      if (this.torrent.pieces.storage.inMemory) this.#inMemory.add(index);
    };
    using feed = new PieceFeed({ ...this.#parts, onSupplied }, first);
    for await (const chunk of this.#parts.reader.read(first * length, end, signal, body)) {
      const before = feed.index;
      feed.push(chunk);
      // What waits for its batch would come on top of what waits for a peer.
      if (this.torrent.pieces.storage.inMemory) feed.flush();
      if (feed.index !== before && feed.index < first + count && this.#isToBeHad(feed.index, despitePeers))
        break;
      this.#throwIfOver();
      await this.#parts.bandwidth.passed(this.torrent.digest, chunk.length, signal);
      // What fills a gap is let go as soon as the digest has it.
      if (despitePeers === 'gap') this.#releaseTaken();
      else if (!(await this.#room(signal))) break;
    }
    feed.flush();
  }

  /** Whether a piece is held by now, or to be had of a peer. */
  #isToBeHad(index: number, despitePeers: PieceRun['despitePeers']): boolean {
    const { table, hashes } = this.torrent.pieces;
    if (despitePeers === 'unsigned') return table.held.has(index) || hashes.has(index);
    if (despitePeers === 'gap') return table.held.has(index);
    return this.torrent.missing(index, 1, true)?.first !== index;
  }

  /** The pieces that the digest waits for, where what fills the memory follows them. */
  #gap(): PieceRun | undefined {
    const { pieces } = this.torrent;
    const first = pieces.checked;
    if (!pieces.storage.inMemory || pieces.table.held.has(first)) return undefined;
    const next = Math.min(...this.#inMemory);
    return next > first ? { first, count: next - first, despitePeers: 'gap' } : undefined;
  }

  /** Whether the digest's chain is known up to there. Where only peers have what comes before, they are asked for it. */
  #canBeSigned({ first }: PieceRun): boolean {
    if (this.torrent.pieces.link(first) !== undefined) return true;
    this.torrent.askHashes(first - 1);
    return false;
  }

  /** How many pieces there are, from the first on, that no signed hash is known of: agents read them without an origin. */
  #unsignedFrom({ first, count }: PieceRun): number {
    const { hashes } = this.torrent.pieces;
    let unsigned = 0;
    while (unsigned < count && !hashes.has(first + unsigned)) unsigned++;
    return unsigned;
  }

  /** Waits until there is room for more, on disk or in memory. False where there is none before a gap is filled. */
  async #room(signal: AbortSignal): Promise<boolean> {
    while (this.#isFull()) {
      if (this.#gap()) return false;
      await pause(PAUSE_MS, signal);
      this.#throwIfOver();
    }
    return true;
  }

  #isFull(): boolean {
    const { storage, table } = this.torrent.pieces;
    if (storage.inMemory) {
      this.#releaseTaken();
      return this.#inMemory.size * table.pieceLength >= MEMORY_WINDOW_BYTES;
    }
    return storage.isBehind;
  }

  /** What a peer has can be had of it. */
  #releaseTaken(): void {
    const { pieces } = this.torrent;
    for (const index of this.#inMemory) {
      if (pieces.table.availability[index]! > 0) pieces.release(index);
      if (!pieces.table.held.has(index)) this.#inMemory.delete(index);
    }
  }

  #throwIfOver(): void {
    if (this.torrent.failure) throw this.torrent.failure;
    const now = this.#parts.now();
    if (now - this.#checkedAt < WANTED_CHECK_MS) return;
    this.#checkedAt = now;
    if ([...this.torrent.connections.values()].some((peer) => peer.peerInterested)) this.#askedAt = now;
    if (now - this.#askedAt > LINGER_MS) throw new NobodyWaitsError('nobody waits for the blob any more');
  }
}

/** Upstream's bytes contradict what an origin has signed before: one of the two is wrong, and nothing is kept. */
export async function discardContradiction(torrent: Torrent, error: DigestMismatchError): Promise<void> {
  if (torrent.failure) return;
  await torrent.pieces.storage.discard();
  torrent.fail(error);
}

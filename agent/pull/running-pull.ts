import { pieceLength } from '#swarm/core/piece-length.ts';
import type { ByteRange } from '#registry/range.ts';
import type { Caller, Refusal } from '#agent/upstream.ts';
import type { CountBytes, DownloadLimit, PullTorrent } from './swarm.ts';

/** Upstream, or an origin in its name, refused a caller in the middle of a read: the runtime has to come back with a fresh token. */
export class CallerRefusedError extends Error {
  override readonly name = 'CallerRefusedError';
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(`upstream refused the caller with ${refusal.status} in the middle of the read`);
    this.refusal = refusal;
  }
}

/** What the origins last said of the blob: whether a server still sends its pieces. */
export type OriginState = 'serving' | 'lost';

/** Pieces that a reader lacks. */
export interface Gap {
  readonly first: number;
  readonly count: number;
  /** How far before them the reader is, in bytes. */
  readonly aheadBytes: number;
}

/** One request of a runtime that reads from a torrent. */
export interface Reader {
  readonly caller: Caller;
  /** Next byte to hand on; the read's end, exclusive. */
  position: number;
  readonly end: number;
  /** Since when (ms) it has been waiting for that byte; undefined while it is not. */
  waitingSince: number | undefined;
  /** Ends this reader alone, at once. */
  cut(error: Error): void;
}

/**
 * A torrent with those who read from it now. Requests share the download, rights they do not: each reader has its
 * own caller, whose credential may serve to fetch what is missing for all.
 */
export class RunningPull {
  readonly torrent: PullTorrent;
  origin: OriginState;
  readonly #readers = new Set<Reader>();
  readonly #now: () => number;
  readonly #limit: Pick<DownloadLimit, 'holdsBack'>;
  #bytes = 0;
  #hadOrigin = false;
  #progressAt: number;
  /** When the limit of downloads last held the blob back: waiting for that is not waiting in vain. */
  #heldBackAt = Number.NEGATIVE_INFINITY;

  constructor(
    torrent: PullTorrent,
    origin: OriginState,
    { now, limit }: { now: () => number; limit: Pick<DownloadLimit, 'holdsBack'> },
  ) {
    this.torrent = torrent;
    this.origin = origin;
    this.#now = now;
    this.#limit = limit;
    this.#progressAt = now();
  }

  /** Of the blob, in bytes. */
  get size(): number {
    return this.torrent.size;
  }

  /** Those that read, the newest first. */
  get readers(): Reader[] {
    return [...this.#readers].toReversed();
  }

  /** Reads a range as it comes; ends with the error of `cut`, of the torrent or of the signal. */
  async *read(
    caller: Caller,
    range: ByteRange,
    signal: AbortSignal,
    count: CountBytes,
  ): AsyncGenerator<Buffer> {
    const controller = new AbortController();
    const cut = (error: Error): void => {
      this.#readers.delete(reader);
      controller.abort(error);
    };
    const reader: Reader = {
      caller,
      position: range.start,
      end: range.end + 1,
      waitingSince: this.#now(),
      cut,
    };
    this.#readers.add(reader);
    try {
      const either = AbortSignal.any([signal, controller.signal]);
      for await (const chunk of this.torrent.read(reader.position, reader.end, either, count)) {
        reader.position += chunk.length;
        reader.waitingSince = undefined;
        yield chunk;
        reader.waitingSince = this.#now();
      }
    } catch (error) {
      // An abort is told by its reason, whatever the torrent makes of it.
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      this.#readers.delete(reader);
    }
  }

  /** Ends all readers with this caller's credential, the refused one. */
  refuse({ registry, repository, authorization }: Caller, refusal: Refusal): void {
    for (const reader of this.readers) {
      const { caller } = reader;
      const isSame = caller.registry === registry && caller.repository === repository;
      if (isSame && caller.authorization === authorization) reader.cut(new CallerRefusedError(refusal));
    }
  }

  /** Sees whether bytes have come since it was last called, and whether the limit holds them back; to be called regularly. */
  observe(): void {
    if (this.torrent.hasOrigin) this.#hadOrigin = true;
    if (this.#limit.holdsBack(this.torrent.digest)) this.#heldBackAt = this.#now();
    const { peer, origin, upstream } = this.torrent.sources;
    const bytes = peer + origin + upstream;
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    this.#progressAt = this.#now();
  }

  /** Whether an origin was connected, and none is now. */
  get hasLostOrigin(): boolean {
    return this.#hadOrigin && !this.torrent.hasOrigin;
  }

  /** Whether any byte has come from another part, ever. */
  get hasProgressed(): boolean {
    return this.#bytes > 0;
  }

  /** Bytes that the swarm, and not this agent's own reads, brought. */
  get swarmBytes(): number {
    return this.torrent.sources.peer + this.torrent.sources.origin;
  }

  /** The reader that has waited longest, and for how long (ms) nothing came that helps it, though the limit let it. */
  longestWait(): { reader: Reader; waitedMs: number } | undefined {
    let longest: { reader: Reader; waitedMs: number } | undefined;
    for (const reader of this.#readers) {
      if (reader.waitingSince === undefined) continue;
      const since = this.#needsWhole(reader)
        ? Math.max(reader.waitingSince, this.#progressAt)
        : reader.waitingSince;
      const waitedMs = this.#now() - Math.max(since, this.#heldBackAt);
      if (longest === undefined || waitedMs > longest.waitedMs) longest = { reader, waitedMs };
    }
    return longest;
  }

  /**
   * The next pieces, at most `limit`, that a reader lacks and no peer has, for the reader that is nearest to them. Where
   * one has waited for `mistrustMs`, also pieces that peers have but do not send it.
   */
  nextGap(limit: number, mistrustMs: number): Gap | undefined {
    const longest = this.longestWait();
    const mistrusted = longest !== undefined && longest.waitedMs >= mistrustMs ? longest.reader : undefined;
    const gaps = [...this.#readers]
      .map((reader) => this.#gapOf(reader, limit, reader === mistrusted))
      .filter((gap) => gap !== undefined);
    return gaps.toSorted((one, other) => one.aheadBytes - other.aheadBytes)[0];
  }

  #gapOf(reader: Reader, limit: number, mistrust: boolean): Gap | undefined {
    const length = pieceLength(this.size);
    const needsWhole = this.#needsWhole(reader);
    const from = needsWhole ? 0 : Math.floor(reader.position / length);
    const last = Math.ceil((needsWhole ? this.size : reader.end) / length) - 1;
    const scarce = this.torrent.missing(from, limit, true);
    const next = mistrust ? this.torrent.missing(from, limit) : undefined;
    const run = next !== undefined && (scarce === undefined || next.first < scarce.first) ? next : scarce;
    if (run === undefined || run.first > last) return undefined;
    const aheadBytes = needsWhole ? 0 : run.first * length - reader.position;
    return { first: run.first, count: Math.min(run.count, last - run.first + 1), aheadBytes };
  }

  /** The last piece is held back until the whole is verified, so its reader waits for every other piece too. */
  #needsWhole(reader: Reader): boolean {
    const length = pieceLength(this.size);
    return Math.floor(reader.position / length) === Math.ceil(this.size / length) - 1;
  }
}

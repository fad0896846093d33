import { asError } from '#registry/as-error.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import type { Digest } from '#registry/digest.ts';
import { abortable } from '#swarm/store/abortable.ts';
import {
  AHEAD_INTERVAL_MS,
  FALLBACK_AHEAD_BYTES,
  FALLBACK_READ_BYTES,
  LEASE_ANSWER_MS,
  LEASE_PATIENCE_MS,
  LEASE_WAIT_MIN_MS,
  LEASE_WAIT_MS,
  UNLEASED_PIECES_PER_SECOND,
  UNLEASED_SPREAD_MS,
  UPSTREAM_BACKOFF_BASE_MS,
  UPSTREAM_BACKOFF_CAP_MS,
} from '#agent/defaults.ts';
import type { FallbackReason } from '#agent/events.ts';
import { type Caller, type GetAnswer, type Upstream, UpstreamAnswerError } from '#agent/upstream.ts';
import { CallerRefusedError, type Reader, type RunningPull } from './running-pull.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';

interface LeaseAnswer {
  readonly granted: boolean;
  readonly retryAfterMs: number;
  /** How many wait for their turn, where the tracker tells. */
  readonly waiting?: number;
}

/** Who may read a blob from upstream, so that only a few do; `Announcer` of swarm/announce. */
export interface Leases {
  /** @throws when no tracker answers */
  lease(digest: Digest, scope: string, signal: AbortSignal): Promise<LeaseAnswer>;
  /** Gives the lease back; untold, it runs out. */
  release(digest: Digest, scope: string, signal: AbortSignal): Promise<void>;
}

/** An agent without trackers knows of nobody that it would have to share with. */
export const UNSHARED: Leases = {
  lease: async () => ({ granted: true, retryAfterMs: 0 }),
  release: async () => {},
};

export interface FallbackParts {
  readonly upstream: Pick<Upstream, 'get' | 'head'>;
  readonly leases: Leases;
  readonly now: () => number;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
  readonly events: {
    fellBack(reason: FallbackReason, digest: string, bytes: number): void;
    fallbackFailed(digest: string, error: Error): void;
  };
  /** Upstream refused this caller's credential. */
  readonly onRefused: (caller: Caller) => void;
}

export interface FallbackOptions {
  /** How long a vanished upstream is waited for, in ms. */
  readonly upstreamWaitMs: number;
  /** A reader that has waited less than this for its piece is served well enough by the swarm, in ms. */
  readonly stallMs: number;
}

const RELEASE_TIMEOUT_MS = 2_000;

/** How this agent came to read from upstream. */
interface Turn {
  /** Ends with the run. */
  readonly over: AbortSignal;
  /** A question for the turn that has not been answered yet: resolves to when to ask again (ms). */
  asking: Promise<number> | undefined;
  /** No tracker answered: when the agent may read all the same. */
  unleasedFrom: number | undefined;
  leased: boolean;
  /** How many wait for their turn, as the tracker last said. */
  waiting: number;
}

type Leased = Pick<RunningPull['torrent'], 'digest' | 'scope'>;

/** What may be read: a run, as one of the few, or one piece, for a reader that has waited too long for its turn. */
type Portion = 'run' | 'piece';

interface PieceRun {
  readonly first: number;
  readonly count: number;
}

/**
 * Reads the pieces that a stalled pull lacks from upstream, as one of the few that the tracker leases this to.
 * Goes on while the swarm brings less than it does itself; ends when nobody waits.
 */
export class Fallback {
  readonly #parts: FallbackParts;
  readonly #options: FallbackOptions;

  constructor(parts: FallbackParts, options: FallbackOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Runs until the swarm helps again or no reader is left; a pull that cannot be helped is failed. Throws only when aborted. */
  async run(pull: RunningPull, reason: FallbackReason, signal: AbortSignal): Promise<void> {
    const end = new AbortController();
    const over = AbortSignal.any([signal, end.signal]);
    const turn: Turn = { over, asking: undefined, unleasedFrom: undefined, leased: false, waiting: 0 };
    try {
      await this.#read(pull, reason, turn, signal);
    } finally {
      end.abort();
      const { digest, scope } = pull.torrent;
      if (turn.leased) this.#giveBack(digest, scope);
    }
  }

  #giveBack(digest: Digest, scope: string): void {
    this.#parts.leases.release(digest, scope, AbortSignal.timeout(RELEASE_TIMEOUT_MS)).catch(() => {});
  }

  async #read(pull: RunningPull, reason: FallbackReason, turn: Turn, signal: AbortSignal): Promise<void> {
    let failingSince: number | undefined;
    let delay = UPSTREAM_BACKOFF_BASE_MS;
    while (pull.readers.length > 0) {
      const portion = await this.#awaitTurn(pull, turn, signal);
      if (portion === undefined) return;
      const before = pull.swarmBytes;
      try {
        const bytes = await this.#readNext(pull, reason, portion, signal);
        if (bytes === 0 || pull.swarmBytes - before >= bytes) return;
        failingSince = undefined;
        delay = UPSTREAM_BACKOFF_BASE_MS;
      } catch (error) {
        if (signal.aborted) throw error;
        if (error instanceof CallerRefusedError) continue;
        failingSince ??= this.#parts.now();
        this.#parts.events.fallbackFailed(pull.torrent.digest, asError(error));
        if (this.#parts.now() - failingSince >= this.#options.upstreamWaitMs) {
          pull.torrent.fail(asError(error));
          return;
        }
        await sleep(delay * (0.5 + this.#parts.random() / 2), undefined, { signal });
        delay = Math.min(delay * 2, UPSTREAM_BACKOFF_CAP_MS);
      }
    }
  }

  /**
   * What this agent may read; undefined when the swarm came to help, all readers left, or upstream turned out to be
   * gone for all while it waited its turn. What the few read has no signed hash and so helps nobody else: whoever
   * waits its turn gets a piece now and then, so that no runtime gives up.
   */
  async #awaitTurn(pull: RunningPull, turn: Turn, signal: AbortSignal): Promise<Portion | undefined> {
    const draw = this.#parts.random();
    let lookAt = this.#parts.now() + this.#options.upstreamWaitMs;
    const patienceLeft = (): number =>
      this.#patienceMs(turn.waiting, draw) - (pull.longestWait()?.waitedMs ?? 0);
    let turnInMs = await this.#turnWithin(patienceLeft(), pull.torrent, turn);
    for (;;) {
      signal.throwIfAborted();
      if (turnInMs <= 0) return 'run';
      const patienceLeftMs = patienceLeft();
      if (patienceLeftMs <= 0) return 'piece';
      const waitMs = Math.min(turnInMs, LEASE_WAIT_MS, patienceLeftMs);
      const answer = await this.#answerWithin(Math.max(LEASE_WAIT_MIN_MS, waitMs), turn);
      if (pull.readers.length === 0 || !this.#isStalled(pull)) return undefined;
      if (this.#parts.now() >= lookAt) {
        if (await this.#failIfGone(pull, signal)) return undefined;
        lookAt = this.#parts.now() + this.#options.upstreamWaitMs;
      }
      turnInMs = answer ?? (await this.#turnWithin(patienceLeft(), pull.torrent, turn));
    }
  }

  /**
   * How long a reader waits before a piece is read for it out of turn. Where many wait, drawn from so wide a span that all
   * of them together read no more than UNLEASED_PIECES_PER_SECOND, also when all began to wait at the same moment.
   */
  #patienceMs(waiting: number, draw: number): number {
    const leastMs = Math.max(this.#options.stallMs, LEASE_PATIENCE_MS);
    const meanMs = (waiting / UNLEASED_PIECES_PER_SECOND) * 1_000;
    return leastMs + draw * 2 * Math.max(0, meanMs - leastMs);
  }

  /** Trackers may be silent, each for a while: the runtime does not wait for all of them. Infinity where they still are. */
  async #turnWithin(patienceMs: number, torrent: Leased, turn: Turn): Promise<number> {
    turn.asking ??= this.#turnInMs(torrent, turn).finally(() => (turn.asking = undefined));
    return (await this.#answerWithin(Math.max(LEASE_ANSWER_MS, patienceMs), turn)) ?? Infinity;
  }

  /** The answer to the question for the turn that is open; undefined where none is, or none comes within so long (ms). */
  async #answerWithin(ms: number, { asking, over }: Turn): Promise<number | undefined> {
    const answered = new AbortController();
    const late = sleep(ms, undefined, { signal: AbortSignal.any([over, answered.signal]) });
    late.catch(() => {});
    try {
      return await (asking === undefined ? late : Promise.race([asking, late]));
    } finally {
      answered.abort();
    }
  }

  /**
   * When to ask again whether it is this agent's turn (ms); 0 when it is. Without a tracker nobody coordinates: a random
   * delay, once, spreads the agents.
   */
  async #turnInMs({ digest, scope }: Leased, turn: Turn): Promise<number> {
    if (turn.unleasedFrom === undefined) {
      const askedAt = this.#parts.now();
      const answer = await this.#askLease(digest, scope, turn.over);
      turn.leased ||= answer?.granted === true;
      turn.waiting = answer?.waiting ?? 0;
      if (answer !== undefined) return answer.granted ? 0 : Math.max(LEASE_WAIT_MIN_MS, answer.retryAfterMs);
      turn.unleasedFrom = askedAt + this.#parts.random() * UNLEASED_SPREAD_MS;
    }
    return turn.unleasedFrom - this.#parts.now();
  }

  /**
   * Whoever waits its turn for as long as a vanished upstream is waited for looks itself: else agents would learn
   * one after the other, a few at a time, that there is nothing to wait for.
   */
  async #failIfGone(pull: RunningPull, signal: AbortSignal): Promise<boolean> {
    const [newest] = pull.readers;
    if (newest === undefined) return false;
    const { digest } = pull.torrent;
    const resource = { kind: 'blob', digest } as const;
    const answer = await this.#parts.upstream.head({ caller: newest.caller, resource }, signal);
    if (answer.kind !== 'unreachable') return false;
    this.#parts.events.fallbackFailed(digest, answer.cause);
    pull.torrent.fail(answer.cause);
    return true;
  }

  /** @returns undefined when no tracker answers */
  async #askLease(digest: Digest, scope: string, signal: AbortSignal): Promise<LeaseAnswer | undefined> {
    try {
      return await this.#parts.leases.lease(digest, scope, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return undefined;
    }
  }

  #isStalled(pull: RunningPull): boolean {
    pull.observe();
    const wait = pull.longestWait();
    return wait !== undefined && wait.waitedMs >= Math.min(this.#options.stallMs, LEASE_WAIT_MS);
  }

  /** Reads the pieces that some reader lacks next. @returns bytes read; 0 when nothing is to be done */
  async #readNext(
    pull: RunningPull,
    reason: FallbackReason,
    portion: Portion,
    signal: AbortSignal,
  ): Promise<number> {
    const limit =
      portion === 'piece' ? 1 : Math.max(1, Math.floor(FALLBACK_READ_BYTES / pieceLength(pull.size)));
    const run = await this.#nextRun(pull, limit, signal);
    const [newest] = pull.readers;
    if (run === undefined || newest === undefined) return 0;
    const bytes = await this.#readRun(pull, newest, { ...run, portion }, signal);
    this.#parts.events.fellBack(reason, pull.torrent.digest, bytes);
    return bytes;
  }

  /** The pieces to be read next, once a reader is near enough to them: slow clients set the pace. */
  async #nextRun(pull: RunningPull, limit: number, signal: AbortSignal): Promise<PieceRun | undefined> {
    for (;;) {
      const gap = pull.nextGap(limit, this.#options.stallMs);
      if (gap === undefined || gap.aheadBytes < FALLBACK_AHEAD_BYTES) return gap;
      await sleep(AHEAD_INTERVAL_MS, undefined, { signal });
    }
  }

  async #readRun(
    pull: RunningPull,
    reader: Reader,
    { first, count, portion }: PieceRun & { readonly portion: Portion },
    signal: AbortSignal,
  ): Promise<number> {
    const start = first * pieceLength(pull.size);
    const end = Math.min(pull.size, start + count * pieceLength(pull.size));
    const answer = await this.#parts.upstream.get(
      {
        caller: reader.caller,
        resource: { kind: 'blob', digest: pull.torrent.digest },
        range: { start, end: end - 1 },
      },
      signal,
    );
    const body = this.#bodyOf(answer, reader, start, pull);
    // Who does not heed ranges would send all of it again for the next run. Without its turn nobody reads on.
    const goesOn = portion === 'run' && answer.kind === 'ok' && answer.told.status !== 206;
    const most = goesOn ? pieceCount(pull.size) - first : count;
    let bytes = 0;
    for await (const { index, data } of cutPieces(body, pull.size, { first, count: most })) {
      pull.torrent.supply(index, new PieceMemory(data));
      bytes += data.length;
      // What the disk has not taken yet stays in memory.
      await abortable(pull.torrent.caughtUp(), signal);
      if (pull.readers.length === 0) break;
      if (goesOn && index + 1 >= first + count && !(await this.#wantsAfter(index, pull, signal))) break;
    }
    return bytes;
  }

  /** Whether what some reader lacks next comes behind that piece, once the reader is near enough. */
  async #wantsAfter(index: number, pull: RunningPull, signal: AbortSignal): Promise<boolean> {
    const gap = await this.#nextRun(pull, 1, signal);
    return gap !== undefined && gap.first > index;
  }

  #bodyOf(answer: GetAnswer, reader: Reader, start: number, pull: RunningPull): AsyncIterable<Uint8Array> {
    switch (answer.kind) {
      case 'ok':
        return bodyFrom(answer, start, pull.size);
      case 'refused': {
        this.#parts.onRefused(reader.caller);
        pull.refuse(reader.caller, answer.refusal);
        throw new CallerRefusedError(answer.refusal);
      }
      case 'throttled':
        throw new UpstreamAnswerError('upstream limits the rate of requests');
      default:
        throw answer.cause;
    }
  }
}

/** The body from byte `start` of the blob, whether or not the registry heeded the range. */
function bodyFrom(
  { told, body }: Extract<GetAnswer, { kind: 'ok' }>,
  start: number,
  size: number,
): AsyncIterable<Uint8Array> {
  const whole = told.size;
  if (whole !== undefined && whole !== size)
    throw new UpstreamAnswerError(`upstream says that the blob has ${whole} bytes, not ${size}`);
  if (told.status !== 206) return skip(body, start);
  if (told.range?.start !== start)
    throw new UpstreamAnswerError('upstream served another range than the one asked for');
  return body;
}

async function* skip(body: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  for await (const chunk of body) {
    if (chunk.length > left) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

/** Whole pieces in order. Breaks off the body when it has had the last. @throws UpstreamAnswerError for a body too short */
async function* cutPieces(
  body: AsyncIterable<Uint8Array>,
  size: number,
  { first, count }: PieceRun,
): AsyncGenerator<{ index: number; data: Buffer }> {
  let index = first;
  let data = Buffer.allocUnsafe(sizeOfPiece(size, index));
  let filled = 0;
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length;) {
      const taken = Math.min(chunk.length - at, data.length - filled);
      data.set(chunk.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
      if (filled < data.length) continue;
      yield { index, data };
      index += 1;
      if (index === first + count) return;
      data = Buffer.allocUnsafe(sizeOfPiece(size, index));
      filled = 0;
    }
  }
  throw new UpstreamAnswerError('upstream ended the body before the range was whole');
}

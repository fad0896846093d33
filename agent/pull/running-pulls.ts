import { asError } from '#registry/as-error.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ASK_AGAIN_MS,
  ASK_AGAIN_PATIENCE_MS,
  ASK_NEXT_MS,
  PATIENCE_WITH_ORIGIN,
  STALL_WITHOUT_ORIGIN_MS,
  WATCH_INTERVAL_MS,
} from '#agent/defaults.ts';
import type { OriginAnswer } from '#agent/origin-answer.ts';
import type { Caller, UpstreamRequest } from '#agent/upstream.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import { AwakeClock } from './awake-clock.ts';
import type { Fallback } from './fallback.ts';
import { type OriginState, RunningPull } from './running-pull.ts';
import type { DownloadLimit, PullTorrent } from './swarm.ts';

export interface RunningPullsParts {
  readonly origins: { fetch(request: UpstreamRequest, signal: AbortSignal): Promise<OriginAnswer> };
  readonly fallback: Pick<Fallback, 'run'>;
  readonly limit: Pick<DownloadLimit, 'holdsBack'>;
  readonly now: () => number;
  /** From 0 up to, and without, 1. */
  readonly random: () => number;
  /** Upstream refused this caller's credential. */
  readonly onRefused: (caller: Caller) => void;
}

interface Watched {
  readonly pull: RunningPull;
  readonly stop: AbortController;
  readonly ticking: Disposable;
  uses: number;
}

/**
 * The torrents that runtimes read from now. Each is watched: when a reader waits in vain an origin is asked again, the
 * ring's next if the owner is lost, with the newest caller's credential; when that does not help, upstream is read.
 */
export class RunningPulls implements Disposable {
  readonly #parts: RunningPullsParts;
  readonly #stallMs: number;
  /** A stall is time in which this process ran and the swarm brought nothing. */
  readonly #clock: AwakeClock;
  readonly #watched = new Map<PullTorrent, Watched>();

  constructor(parts: RunningPullsParts, options: { stallMs: number }) {
    this.#parts = parts;
    this.#clock = new AwakeClock(parts.now);
    this.#stallMs = options.stallMs;
  }

  get size(): number {
    return this.#watched.size;
  }

  /**
   * The torrent's pull, watched until as many as asked for it have disposed of it.
   * @param origin undefined: as it was last seen
   */
  use(torrent: PullTorrent, origin: OriginState | undefined): { readonly pull: RunningPull } & Disposable {
    const watched = this.#watched.get(torrent) ?? this.#begin(torrent, origin ?? 'lost');
    watched.uses += 1;
    if (origin === 'serving') watched.pull.origin = origin;
    let left = false;
    return {
      pull: watched.pull,
      [Symbol.dispose]: () => {
        if (left) return;
        left = true;
        watched.uses -= 1;
        if (watched.uses === 0) this.#end(watched);
      },
    };
  }

  /** A torrent that is being read and is as wanted. */
  find(isWanted: (torrent: PullTorrent) => boolean): PullTorrent | undefined {
    return this.#watched.keys().find(isWanted);
  }

  [Symbol.dispose](): void {
    for (const watched of this.#watched.values()) this.#end(watched);
  }

  #begin(torrent: PullTorrent, origin: OriginState): Watched {
    const pull = new RunningPull(torrent, origin, { now: this.#clock.now, limit: this.#parts.limit });
    const watched = { pull, stop: new AbortController(), ticking: this.#clock.keepTicking(), uses: 0 };
    this.#watched.set(torrent, watched);
    void this.#watch(pull, watched.stop.signal);
    return watched;
  }

  #end({ pull, stop, ticking }: Watched): void {
    if (!this.#watched.delete(pull.torrent)) return;
    ticking[Symbol.dispose]();
    stop.abort();
  }

  async #watch(pull: RunningPull, signal: AbortSignal): Promise<void> {
    const asking = new Asking(this.#clock.now, this.#parts.random);
    try {
      while (!pull.torrent.complete) {
        await sleep(WATCH_INTERVAL_MS, undefined, { signal });
        pull.observe();
        const waitedMs = pull.longestWait()?.waitedMs ?? 0;
        if (waitedMs < (pull.hasLostOrigin ? ASK_NEXT_MS : ASK_AGAIN_MS)) asking.rest();
        else if (asking.isDue) await this.#askOrigin(pull, asking, signal);
        if (waitedMs < this.#patience(pull)) continue;
        await this.#parts.fallback.run(pull, pull.origin === 'lost' ? 'no-origin' : 'stalled', signal);
      }
    } catch (error) {
      // Nobody is left to help, or the failure is every reader's.
      if (!signal.aborted) pull.torrent.fail(asError(error));
    }
  }

  /** How long (ms) a reader may wait before upstream is read for it. */
  #patience(pull: RunningPull): number {
    if (pull.origin === 'serving') return this.#stallMs * PATIENCE_WITH_ORIGIN;
    return pull.hasProgressed ? this.#stallMs : Math.min(this.#stallMs, STALL_WITHOUT_ORIGIN_MS);
  }

  /** Origins that do not answer soon are as good as none: readers are waiting. */
  async #fetch(request: UpstreamRequest, signal: AbortSignal): Promise<OriginAnswer> {
    const patience = new AbortController();
    const over = AbortSignal.any([signal, patience.signal]);
    this.#clock.passed(ASK_AGAIN_PATIENCE_MS, over).then(
      () => patience.abort(),
      () => {},
    );
    try {
      return await this.#parts.origins.fetch(request, over);
    } catch (error) {
      if (signal.aborted || !patience.signal.aborted) throw error;
      return { kind: 'absent' };
    } finally {
      patience.abort();
    }
  }

  async #askOrigin(pull: RunningPull, asking: Asking, signal: AbortSignal): Promise<void> {
    const [newest] = pull.readers;
    if (newest === undefined) return;
    asking.note();
    const { caller } = newest;
    const resource = { kind: 'blob', digest: pull.torrent.digest } as const;
    const answer = await this.#fetch({ caller, resource }, signal);
    const isServing = answer.kind === 'swarm' && answer.size === pull.size && !answer.hasGaps;
    pull.origin = isServing ? 'serving' : 'lost';
    if (answer.kind === 'swarm') {
      // Its word that the registry has what was verified.
      if (answer.scope === VERIFIED) pull.torrent.batches.believe(VERIFIED);
      pull.torrent.addPeer({ ...answer.peer, role: 'origin', scope: answer.scope });
    }
    if (answer.kind !== 'refused') return;
    if (answer.refusal.status === 401) {
      this.#parts.onRefused(caller);
      pull.refuse(caller, answer.refusal);
    }
  }
}

/** When an origin may be asked again: at intervals with jitter that grow as long as readers wait. */
class Asking {
  readonly #now: () => number;
  readonly #random: () => number;
  #due = 0;
  #delay = ASK_AGAIN_MS;

  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#random = random;
  }

  get isDue(): boolean {
    return this.#now() >= this.#due;
  }

  note(): void {
    this.#due = this.#now() + this.#delay * (0.75 + this.#random() / 2);
    this.#delay = Math.min(this.#delay * 2, 8 * ASK_AGAIN_MS);
  }

  /** No reader waits: the next stall is asked about as soon as the first was. */
  rest(): void {
    this.#delay = ASK_AGAIN_MS;
    this.#due = Math.min(this.#due, this.#now() + ASK_AGAIN_MS);
  }
}

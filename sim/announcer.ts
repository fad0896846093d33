/** Mirrors `swarm/announce` (`announcer.ts`, `announce-loop.ts`) with one tracker: one message for all that changed. */
import { backoffMs } from '#registry/retry.ts';
import {
  ASK_SPACING_MS,
  BACKOFF_MS,
  COALESCE_MS,
  FIRST_INTERVAL_MS,
  INTERVAL_JITTER,
  MAX_BACKOFF_MS,
  REQUEST_TIMEOUT_MS,
} from '#swarm/announce/constants.ts';
import type { Clock } from './clock.ts';
import type { SimBlob, SimHost } from './host.ts';
import type { Line, SimTracker } from './tracker.ts';

export interface AnnouncerParts {
  readonly clock: Clock;
  readonly tracker: SimTracker;
  readonly random: () => number;
  /** To the tracker and back. */
  readonly roundTripMs: number;
  readonly onPeers: (host: SimHost, blob: SimBlob, peers: readonly SimHost[]) => void;
}

export class SimAnnouncer {
  readonly #parts: AnnouncerParts;
  readonly #host: SimHost;
  readonly #pending = new Map<SimBlob, Line>();
  readonly #complete = new Map<SimBlob, boolean>();
  readonly #askAt = new Map<SimBlob, number>();
  #underWay = false;
  #heartbeatAt = Infinity;
  #notBefore = 0;
  #failures = 0;
  #timerAt = Infinity;

  constructor(parts: AnnouncerParts, host: SimHost) {
    this.#parts = parts;
    this.#host = host;
  }

  /** A member from before the start: its heartbeats are spread over an interval. */
  startSeated(): void {
    this.#heartbeatAt = this.#parts.random() * FIRST_INTERVAL_MS;
    this.#wake();
  }

  join(blob: SimBlob, complete: boolean, want: number): void {
    this.#complete.set(blob, complete);
    this.#askAt.set(blob, this.#nextAsk());
    this.#add(blob, want);
  }

  completed(blob: SimBlob): void {
    this.#complete.set(blob, true);
    this.#add(blob, 0);
  }

  more(blob: SimBlob, want: number): void {
    const { clock } = this.#parts;
    const askAt = this.#askAt.get(blob) ?? 0;
    if (clock.now < askAt) return clock.at(askAt, () => this.more(blob, want));
    this.#askAt.set(blob, this.#nextAsk());
    this.#add(blob, want);
  }

  #nextAsk(): number {
    return this.#parts.clock.now + ASK_SPACING_MS * (0.5 + this.#parts.random());
  }

  #add(blob: SimBlob, want: number): void {
    const complete = this.#complete.get(blob) ?? false;
    this.#pending.set(blob, { complete, want: Math.max(want, this.#pending.get(blob)?.want ?? 0) });
    this.#wake();
  }

  #wake(): void {
    if (this.#underWay || !this.#host.alive) return;
    const { clock } = this.#parts;
    const changesAt = this.#pending.size > 0 ? Math.max(clock.now + COALESCE_MS, this.#notBefore) : Infinity;
    const at = Math.min(changesAt, this.#heartbeatAt);
    if (at >= this.#timerAt) return;
    this.#timerAt = at;
    clock.at(at, () => this.#onTimer(at));
  }

  #onTimer(at: number): void {
    if (at !== this.#timerAt || !this.#host.alive) return;
    this.#timerAt = Infinity;
    this.#underWay = true;
    const { clock, tracker, roundTripMs } = this.#parts;
    clock.after(roundTripMs / 2, () => {
      if (tracker.ask(clock.now)) this.#taken();
      else clock.after(REQUEST_TIMEOUT_MS, () => this.#failed());
    });
  }

  /** The tracker has the message. */
  #taken(): void {
    const { clock, tracker, random, roundTripMs, onPeers } = this.#parts;
    tracker.heartbeat(this.#host, clock.now);
    const answers = [...this.#pending].map(
      ([blob, line]) => [blob, tracker.announce(this.#host, blob, line, clock.now)] as const,
    );
    this.#pending.clear();
    clock.after(roundTripMs / 2, () => {
      this.#failures = 0;
      this.#notBefore = 0;
      this.#heartbeatAt = clock.now + FIRST_INTERVAL_MS * (1 - INTERVAL_JITTER * random());
      if (!this.#host.alive) return;
      for (const [blob, peers] of answers) onPeers(this.#host, blob, peers);
      this.#end();
    });
  }

  #failed(): void {
    const { clock, random } = this.#parts;
    this.#failures++;
    const capMs = Math.min(MAX_BACKOFF_MS, FIRST_INTERVAL_MS / 2);
    const wait = backoffMs(this.#failures + 1, { baseMs: BACKOFF_MS, capMs, random });
    this.#heartbeatAt = this.#notBefore = clock.now + wait;
    this.#end();
  }

  #end(): void {
    this.#underWay = false;
    this.#wake();
  }
}

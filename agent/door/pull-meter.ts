import type { AgentEvents, PullOutcome, PullRecord } from '#agent/events.ts';
import type { Source } from '#agent/metrics.ts';
import type { Denied } from '#agent/pull/access.ts';
import { ClientGoneError } from './body.ts';
import { statusOf } from './answer.ts';

type About = Pick<PullRecord, 'kind' | 'caller' | 'reference'>;

/** Counts one pull, from the request to the last byte, and tells of it once. */
export class PullMeter {
  readonly #about: About;
  readonly #events: Pick<AgentEvents, 'pulled'>;
  readonly #now: () => number;
  readonly #started: number;
  readonly sources: Record<Source, number> = { cache: 0, peer: 0, origin: 0, upstream: 0 };
  #firstByteSeconds: number | undefined;

  /** @param now milliseconds */
  constructor(about: About, parts: { events: Pick<AgentEvents, 'pulled'>; now: () => number }) {
    this.#about = about;
    this.#events = parts.events;
    this.#now = parts.now;
    this.#started = parts.now();
  }

  /** Adds to what came from a source. */
  readonly count = (source: Source, bytes: number): void => {
    this.sources[source] += bytes;
  };

  firstByte(): void {
    this.#firstByteSeconds ??= this.#seconds();
  }

  complete(status: number): void {
    this.#tell('complete', status);
  }

  denied(denied: Denied): void {
    const outcome = denied.kind === 'refused' ? 'refused' : 'unavailable';
    this.#tell(outcome, statusOf(denied), denied.kind === 'unavailable' ? denied.cause : undefined);
  }

  failed(status: number, error: Error): void {
    const isGone = error instanceof ClientGoneError;
    this.#tell(isGone ? 'gone' : 'cut', status, isGone ? undefined : error);
  }

  #tell(outcome: PullOutcome, status: number, error?: Error): void {
    const { sources } = this;
    const seconds = this.#seconds();
    this.#events.pulled({
      ...this.#about,
      outcome,
      status,
      sources,
      seconds,
      firstByteSeconds: this.#firstByteSeconds,
      error,
    });
  }

  #seconds(): number {
    return (this.#now() - this.#started) / 1000;
  }
}

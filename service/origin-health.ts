import { backoffMs } from '#registry/retry.ts';

import { LruMap } from './lru-map.ts';

/** An origin that failed is left alone for this long at first, doubling to the cap; milliseconds. */
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 15_000;
/** Most origins remembered as failing; those that discovery has dropped make room. */
const MAX_FAILING = 512;

interface Failing {
  readonly failures: number;
  readonly until: number;
}

/** Which origins are worth asking: one that failed is left alone for a time that doubles with each failure in a row. */
export class OriginHealth {
  readonly #failing = new LruMap<string, Failing>(MAX_FAILING);
  readonly #now: () => number;
  readonly #random: () => number;

  /** @param now milliseconds; @param random uniform in [0, 1) */
  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#random = random;
  }

  isUsable(origin: string): boolean {
    const failing = this.#failing.get(origin);
    return failing === undefined || this.#now() >= failing.until;
  }

  succeeded(origin: string): void {
    this.#failing.delete(origin);
  }

  failed(origin: string): void {
    const failures = (this.#failing.get(origin)?.failures ?? 0) + 1;
    // Its random half keeps those who lost an origin together from coming back together.
    const delay = backoffMs(failures, {
      baseMs: BACKOFF_BASE_MS,
      capMs: BACKOFF_CAP_MS,
      random: this.#random,
    });
    this.#failing.set(origin, { failures, until: this.#now() + delay });
  }
}

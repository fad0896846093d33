import { createHmac, randomBytes } from 'node:crypto';

import { LruMap } from './lru-map.ts';

export interface RequestRateOptions {
  /** For each caller; twice as many at once. */
  readonly perSecond: number;
  /** Callers that are followed at one time; the one who asked longest ago goes. */
  readonly callers: number;
  /** Milliseconds. */
  readonly now: () => number;
}

const BURST_SECONDS = 2;

/** Bounds how often one caller asks: a bucket of tokens for each. Who they are is kept as a keyed hash, for it may be a credential. */
export class RequestRate {
  readonly #options: RequestRateOptions;
  readonly #secret = randomBytes(32);
  readonly #buckets: LruMap<string, { left: number; at: number }>;

  constructor(options: RequestRateOptions) {
    this.#options = options;
    this.#buckets = new LruMap(options.callers);
  }

  /** Counts a request; false where it is one too many. @param caller undefined: all whom nothing tells apart */
  admits(caller: string | undefined): boolean {
    const { perSecond, now } = this.#options;
    const most = perSecond * BURST_SECONDS;
    const key = caller === undefined ? '' : this.#keyOf(caller);
    const at = now();
    const bucket = this.#buckets.get(key) ?? { left: most, at };
    const left = Math.min(most, bucket.left + ((at - bucket.at) / 1000) * perSecond);
    this.#buckets.set(key, { left: Math.max(0, left - 1), at });
    return left >= 1;
  }

  #keyOf(caller: string): string {
    return createHmac('sha256', this.#secret).update(caller).digest('base64');
  }
}

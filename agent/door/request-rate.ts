import { createHmac, randomBytes } from 'node:crypto';
import { OciError } from '#registry/oci-error.ts';
import { LruMap } from '#service/lru-map.ts';
import { RATED_CALLERS, RATE_BURST_SECONDS } from '#agent/defaults.ts';

export interface RequestRateOptions {
  /** For each caller. */
  readonly perSecond: number;
  /** Milliseconds. */
  readonly now: () => number;
  readonly onShed: () => void;
}

/**
 * Bounds how often one caller asks: a bucket of tokens per credential, one for all who have none. On loopback nothing
 * else tells callers apart. More is told 503: a runtime repeats a 429 at the same mirror, and leaves it on a 503.
 */
export class RequestRate {
  readonly #options: RequestRateOptions;
  readonly #secret = randomBytes(32);
  readonly #buckets = new LruMap<string, { left: number; at: number }>(RATED_CALLERS);

  constructor(options: RequestRateOptions) {
    this.#options = options;
  }

  /** @throws OciError UNAVAILABLE with Retry-After */
  take(authorization: string | undefined): void {
    const { perSecond, now, onShed } = this.#options;
    const most = perSecond * RATE_BURST_SECONDS;
    const key = authorization === undefined ? '' : this.#keyOf(authorization);
    const at = now();
    const bucket = this.#buckets.get(key) ?? { left: most, at };
    const left = Math.min(most, bucket.left + ((at - bucket.at) / 1000) * perSecond);
    this.#buckets.set(key, { left: Math.max(0, left - 1), at });
    if (left >= 1) return;
    onShed();
    throw new OciError('UNAVAILABLE', `the mirror takes ${perSecond} requests a second from one caller`, {
      headers: { 'retry-after': '1' },
    });
  }

  #keyOf(authorization: string): string {
    return createHmac('sha256', this.#secret).update(authorization).digest('base64');
  }
}

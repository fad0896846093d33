import { MEMBER_BACKOFF_BASE_MS, MEMBER_BACKOFF_CAP_MS } from './defaults.ts';

interface Failing {
  readonly failures: number;
  readonly until: number;
}

/** Which other origins are worth asking: one that failed is left alone for a time that doubles with each failure in a row. */
export class MemberHealth {
  readonly #failing = new Map<string, Failing>();
  readonly #now: () => number;
  readonly #random: () => number;

  /** @param now milliseconds; @param random uniform in [0, 1) */
  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#random = random;
  }

  isUsable(member: string): boolean {
    const failing = this.#failing.get(member);
    return failing === undefined || this.#now() >= failing.until;
  }

  succeeded(member: string): void {
    this.#failing.delete(member);
  }

  failed(member: string): void {
    const failures = (this.#failing.get(member)?.failures ?? 0) + 1;
    const delay = Math.min(MEMBER_BACKOFF_CAP_MS, MEMBER_BACKOFF_BASE_MS * 2 ** Math.min(failures - 1, 16));
    this.#failing.set(member, { failures, until: this.#now() + delay * (0.5 + this.#random() / 2) });
  }
}

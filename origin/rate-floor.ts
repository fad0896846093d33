import { LONGEST_SLOW_MS, SLOW_MS } from './defaults.ts';

/** Tells when a body comes more slowly than it may. Only time in which it was waited for counts, not what we need ourselves. */
export class RateFloor {
  readonly #bytesPerSecond: number;
  #bytes = 0;
  #waitedMs = 0;
  #patienceMs = SLOW_MS;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /**
   * So many bytes more came after so long a wait.
   * @returns true where it has been too slow for a while. The next body has twice as long: the registry may have no more to give.
   */
  isBelow(bytes: number, waitedMs: number): boolean {
    this.#bytes += bytes;
    this.#waitedMs += waitedMs;
    if (this.#waitedMs < this.#patienceMs) return false;
    const isSlow = this.#bytes * 1000 < this.#bytesPerSecond * this.#waitedMs;
    this.#patienceMs = isSlow ? Math.min(this.#patienceMs * 2, LONGEST_SLOW_MS) : SLOW_MS;
    this.#bytes = 0;
    this.#waitedMs = 0;
    return isSlow;
  }
}

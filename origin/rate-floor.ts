import { MAX_SLOW_BODIES, SLOW_MS } from './defaults.ts';

/** Tells when a body comes more slowly than it may. Only time in which it was waited for counts, not what we need ourselves. */
export class RateFloor {
  readonly #bytesPerSecond: number;
  #bytes = 0;
  #waitedMs = 0;
  #slowBodies = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /**
   * So many bytes more came after so long a wait.
   * @returns true where it has been too slow for a while. The next body has twice as long, and after a few in a row any
   * rate will do: the registry has no more to give, or sends all of it anew whatever range it is asked for.
   */
  isBelow(bytes: number, waitedMs: number): boolean {
    this.#bytes += bytes;
    this.#waitedMs += waitedMs;
    if (this.#waitedMs < SLOW_MS * 2 ** this.#slowBodies) return false;
    const isSlow = this.#bytes * 1000 < this.#bytesPerSecond * this.#waitedMs;
    this.#bytes = 0;
    this.#waitedMs = 0;
    if (!isSlow) this.#slowBodies = 0;
    if (!isSlow || this.#slowBodies === MAX_SLOW_BODIES) return false;
    this.#slowBodies++;
    return true;
  }
}

/**
 * Things that time out unless touched, the longest untouched first. Touching and taking are O(1), because
 * all have the same lifetime and a Map keeps the order of insertion.
 */
export class ExpiryQueue<T> {
  readonly #touchedAt = new Map<T, number>();
  readonly #lifetimeMs: number;

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs;
  }

  touch(item: T, now: number): void {
    this.#touchedAt.delete(item);
    this.#touchedAt.set(item, now);
  }

  delete(item: T): void {
    this.#touchedAt.delete(item);
  }

  /** The longest untouched, if its time is over. It stays until deleted. */
  expired(now: number): T | undefined {
    for (const [item, at] of this.#touchedAt) return now - at >= this.#lifetimeMs ? item : undefined;
    return undefined;
  }
}

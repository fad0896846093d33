import { ExpiryQueue } from './expiry-queue.ts';

interface Waiter {
  readonly key: string;
  readonly peerId: string;
}

/** How many wait for the same thing. Who does not ask again in time waits no longer. */
export class Waiters {
  readonly #byKey = new Map<string, Map<string, Waiter>>();
  readonly #expiry: ExpiryQueue<Waiter>;
  readonly #limit: number;
  #size = 0;

  /** @param limit of all together; more are not counted */
  constructor(options: { lifetimeMs: number; limit: number }) {
    this.#expiry = new ExpiryQueue(options.lifetimeMs);
    this.#limit = options.limit;
  }

  /** @returns how many wait for the key, this one among them */
  note(key: string, peerId: string, now: number): number {
    this.#sweep(now);
    const waiter = this.#byKey.get(key)?.get(peerId) ?? this.#add(key, peerId);
    if (waiter !== undefined) this.#expiry.touch(waiter, now);
    return this.#byKey.get(key)?.size ?? 1;
  }

  end(key: string, peerId: string): void {
    const waiter = this.#byKey.get(key)?.get(peerId);
    if (waiter !== undefined) this.#delete(waiter);
  }

  #add(key: string, peerId: string): Waiter | undefined {
    if (this.#size >= this.#limit) return undefined;
    const waiter = { key, peerId };
    this.#byKey.set(key, (this.#byKey.get(key) ?? new Map<string, Waiter>()).set(peerId, waiter));
    this.#size++;
    return waiter;
  }

  #delete(waiter: Waiter): void {
    const waiting = this.#byKey.get(waiter.key)!;
    waiting.delete(waiter.peerId);
    if (waiting.size === 0) this.#byKey.delete(waiter.key);
    this.#expiry.delete(waiter);
    this.#size--;
  }

  #sweep(now: number): void {
    for (let waiter = this.#expiry.expired(now); waiter !== undefined; waiter = this.#expiry.expired(now))
      this.#delete(waiter);
  }
}

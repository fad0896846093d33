/** A bucket holds what flows in this time, so that short bursts pass. Seconds. */
const BURST_SECONDS = 0.1;

/** The least that a bucket holds, or one long block would never fit. Bytes. */
const MIN_BURST = 256 * 1024;

interface Waiting<Item> {
  readonly item: Item;
  readonly bytes: number;
}

/**
 * A limit on bytes per second shared fairly among flows (blobs): those that wait are served in turn, one item
 * each. Time is passed in, in milliseconds; the caller asks again after the wait it is told.
 */
export class FairLimiter<Item> {
  #rate: number;
  #tokens = 0;
  #at: number;
  readonly #flows = new Map<string, Waiting<Item>[]>();

  /** @param bytesPerSecond Infinity: no limit */
  constructor(bytesPerSecond: number, now: number) {
    this.#rate = bytesPerSecond;
    this.#at = now;
    this.#tokens = this.#burst();
  }

  setRate(bytesPerSecond: number, now: number): void {
    this.#refill(now);
    this.#rate = bytesPerSecond;
    this.#tokens = Math.min(this.#tokens, this.#burst());
  }

  get waiting(): boolean {
    return this.#flows.size > 0;
  }

  /** Whether something of this flow is in line. */
  holds(flow: string): boolean {
    return this.#flows.has(flow);
  }

  get unlimited(): boolean {
    return this.#rate === Infinity;
  }

  /** Puts an item of `bytes` in its flow's line. */
  add(flow: string, item: Item, bytes: number): void {
    const line = this.#flows.get(flow);
    if (line) line.push({ item, bytes });
    else this.#flows.set(flow, [{ item, bytes }]);
  }

  /** The next item that may pass, each flow in turn; undefined when none waits or the limit is reached. */
  next(now: number): Item | undefined {
    const flow = this.#flows.entries().next();
    if (flow.done) return undefined;
    const [key, line] = flow.value;
    this.#refill(now);
    if (!this.unlimited && this.#tokens <= 0) return undefined;
    const { item, bytes } = line.shift()!;
    // Debt is allowed: an item passes while anything is in the bucket, and the next waits until it is paid back.
    this.#tokens -= bytes;
    this.#flows.delete(key);
    if (line.length > 0) this.#flows.set(key, line);
    return item;
  }

  /** Of an item that has passed, this was not needed after all. */
  refund(bytes: number): void {
    this.#tokens = Math.min(this.#burst(), this.#tokens + bytes);
  }

  /** Milliseconds until the next item may pass. */
  waitMs(now: number): number {
    this.#refill(now);
    if (this.unlimited || this.#tokens > 0) return 0;
    return Math.ceil((1 - this.#tokens) / (this.#rate / 1_000));
  }

  #burst(): number {
    return Math.max(this.#rate * BURST_SECONDS, MIN_BURST);
  }

  #refill(now: number): void {
    const seconds = Math.max(now - this.#at, 0) / 1_000;
    this.#at = Math.max(this.#at, now);
    this.#tokens = this.unlimited ? 0 : Math.min(this.#burst(), this.#tokens + seconds * this.#rate);
  }
}

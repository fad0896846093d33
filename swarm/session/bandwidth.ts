import { FairLimiter } from '#swarm/core/fair-limiter.ts';

/** One direction's limit in bytes per second, shared fairly among blobs; what must wait is called when its turn comes. */
export class Bandwidth implements Disposable {
  readonly #limiter: FairLimiter<() => void>;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;

  /** @param bytesPerSecond undefined: no limit */
  constructor(bytesPerSecond: number | undefined, now: () => number) {
    this.#now = now;
    this.#limiter = new FairLimiter(bytesPerSecond ?? Infinity, now());
  }

  get unlimited(): boolean {
    return this.#limiter.unlimited;
  }

  setLimit(bytesPerSecond: number | undefined): void {
    this.#limiter.setRate(bytesPerSecond ?? Infinity, this.#now());
    this.#run();
  }

  /** Calls `go` when `bytes` of `flow` may pass: at once without a limit. */
  pass(flow: string, bytes: number, go: () => void): void {
    if (this.#limiter.unlimited && !this.#limiter.waiting) return go();
    this.#limiter.add(flow, go, bytes);
    if (!this.#timer) this.#run();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #run(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (let go = this.#limiter.next(this.#now()); go; go = this.#limiter.next(this.#now())) go();
    if (this.#limiter.waiting) this.#timer = setTimeout(() => this.#run(), this.#limiter.waitMs(this.#now()));
  }
}

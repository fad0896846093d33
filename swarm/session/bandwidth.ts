import { FairLimiter } from '#swarm/core/fair-limiter.ts';
import { abortable } from '#swarm/store/abortable.ts';

/** A change of the limit is noticed by then even where the next turn would be long off. Milliseconds. */
const LONGEST_WAIT_MS = 1_000;

interface Waiting {
  readonly bytes: number;
  readonly go: Turn;
}

/** What waits for its turn; returns the bytes that it took, at most those that it asked for. */
export type Turn = () => number;

/** One direction's limit in bytes per second, shared fairly among blobs; what must wait is called when its turn comes. */
export class Bandwidth implements Disposable {
  readonly #limiter: FairLimiter<Waiting>;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  /** Turns are being given: what one of them adds gets its own from the same loop. */
  #running = false;

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
  pass(flow: string, bytes: number, go: Turn): void {
    if (this.#limiter.unlimited && !this.#limiter.waiting) {
      go();
      return;
    }
    this.#limiter.add(flow, { bytes, go }, bytes);
    if (!this.#timer && !this.#running) this.#run();
  }

  /** Resolves when `bytes` of `flow` may pass. Rejects with the signal's reason; what it waited for goes to others then. */
  async passed(flow: string, bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#limiter.unlimited && !this.#limiter.waiting) return;
    const turn = Promise.withResolvers<void>();
    this.pass(flow, bytes, () => {
      turn.resolve();
      return signal.aborted ? 0 : bytes;
    });
    await abortable(turn.promise, signal);
  }

  /** Whether something of `flow` waits for its turn now. */
  holdsBack(flow: string): boolean {
    return this.#limiter.holds(flow);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #run(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#running = true;
    try {
      for (let turn = this.#limiter.next(this.#now()); turn; turn = this.#limiter.next(this.#now()))
        this.#limiter.refund(turn.bytes - turn.go());
    } finally {
      this.#running = false;
    }
    if (!this.#limiter.waiting) return;
    const wait = Math.min(this.#limiter.waitMs(this.#now()), LONGEST_WAIT_MS);
    this.#timer = setTimeout(() => this.#run(), wait);
  }
}

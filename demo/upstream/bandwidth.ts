const IDLE_MS = 25;
const MAX_BACKLOG_MS = 500;
const STEP_MS = 50;
const MAX_STEP_BYTES = 64 * 1024;

interface Waiter {
  bytes: number;
  go: () => void;
}

/**
 * One token bucket for all connections of a link, first come, first served by steps of at most 64 KiB.
 * Every byte is paid before it is sent, an idle link saves nothing up, and a late timer loses nothing: n bytes
 * take n / rate seconds whatever the timers' grain.
 */
export class Bandwidth {
  #rate: number | undefined;
  #tokens = 0;
  #refilledAt = performance.now();
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting = new Set<Waiter>();
  #flows = 0;

  /** Bytes per second; undefined is no limit. */
  constructor(rate?: number) {
    this.#rate = checked(rate);
  }

  get rate(): number | undefined {
    return this.#rate;
  }

  set rate(rate: number | undefined) {
    this.#refill();
    this.#rate = checked(rate);
    this.#tokens = Math.max(0, Math.min(this.#tokens, ((rate ?? 0) * IDLE_MS) / 1000));
    this.#serve();
  }

  /** How many bytes to send at a time so that the flow is smooth at this rate. */
  get step(): number {
    if (this.#rate === undefined) return MAX_STEP_BYTES;
    return Math.max(1, Math.min(MAX_STEP_BYTES, Math.floor((this.#rate * STEP_MS) / 1000)));
  }

  /** While a flow is open the short gaps between its steps are made good; the time before it is not. */
  open(): Disposable {
    this.#refill();
    this.#flows++;
    return { [Symbol.dispose]: () => void this.#flows-- };
  }

  /** Waits until `bytes` may be sent. Rejects with the signal's reason. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#rate === undefined) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { bytes, go: resolve };
    const leave = (): void => {
      this.#waiting.delete(waiter);
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', leave, { once: true });
    this.#refill();
    this.#waiting.add(waiter);
    this.#serve();
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  #refill(): void {
    const now = performance.now();
    const elapsed = now - this.#refilledAt;
    this.#refilledAt = now;
    if (this.#rate === undefined) return;
    const idle = this.#waiting.size === 0 && (this.#flows === 0 || elapsed > IDLE_MS);
    if (idle) this.#tokens = 0;
    else this.#tokens += (this.#rate * Math.min(elapsed, MAX_BACKLOG_MS)) / 1000;
  }

  #serve(): void {
    clearTimeout(this.#timer);
    for (const waiter of this.#waiting) {
      if (this.#rate !== undefined) {
        const missing = waiter.bytes - this.#tokens;
        if (missing > 0) {
          this.#wakeIn((missing / this.#rate) * 1000);
          return;
        }
        this.#tokens -= waiter.bytes;
      }
      this.#waiting.delete(waiter);
      waiter.go();
    }
  }

  #wakeIn(milliseconds: number): void {
    // In short naps, as a gap over MAX_BACKLOG_MS counts as a stall of the process whose time is not made good.
    this.#timer = setTimeout(
      () => {
        this.#refill();
        this.#serve();
      },
      Math.min(milliseconds, MAX_BACKLOG_MS / 2),
    );
  }
}

function checked(rate: number | undefined): number | undefined {
  if (rate !== undefined && !(rate > 0 && Number.isFinite(rate))) {
    throw new RangeError(
      `bandwidth is ${rate}; allowed is a positive number of bytes per second, or undefined`,
    );
  }
  return rate;
}

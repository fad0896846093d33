import { setTimeout as sleep } from 'node:timers/promises';
import { AWAKE_STEP_MS, WATCH_INTERVAL_MS } from '#agent/defaults.ts';

/**
 * Counts the time in which this process ran. Of a pause in which nothing of it ran (a frozen machine, a stopped
 * process, a clock that jumped) one short step counts: what others sent meanwhile is there, and has not been read yet.
 */
export class AwakeClock {
  readonly #now: () => number;
  #counted = 0;
  #at: number;
  #users = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#at = now();
  }

  /** Milliseconds. Goes on while somebody keeps it ticking. */
  readonly now = (): number => this.#counted + this.#step();

  /** Keeps the clock ticking until it is disposed of. */
  keepTicking(): Disposable {
    this.#users += 1;
    this.#timer ??= setInterval(() => this.#tick(), WATCH_INTERVAL_MS).unref();
    return {
      [Symbol.dispose]: () => {
        this.#users -= 1;
        if (this.#users > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
    };
  }

  /** Resolves once the process has run for so long. Rejects when the signal aborts. */
  async passed(ms: number, signal: AbortSignal): Promise<void> {
    const until = this.now() + ms;
    for (let left = ms; left > 0; left = until - this.now()) await sleep(left, undefined, { signal });
  }

  #tick(): void {
    this.#counted += this.#step();
    this.#at = this.#now();
  }

  #step(): number {
    return Math.max(0, Math.min(this.#now() - this.#at, AWAKE_STEP_MS));
  }
}

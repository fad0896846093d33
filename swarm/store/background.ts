import type { StoreLogger } from './store-logger.ts';

/** Work that nobody waits for until the end, such as unlinking; its failures are logged. */
export class Background {
  readonly #running = new Set<Promise<unknown>>();
  readonly #logger: StoreLogger;

  constructor(logger: StoreLogger) {
    this.#logger = logger;
  }

  /** Starts the task; a failure is a log line that begins with `what`. */
  start(what: string, task: () => Promise<unknown>): void {
    void this.track(task().catch((error: unknown) => this.#logger.warn({ err: error }, `${what} failed`)));
  }

  /** Makes `settled` wait for a promise that somebody else handles. */
  track<T>(promise: Promise<T>): Promise<T> {
    const end = (): void => {
      this.#running.delete(tracked);
    };
    const tracked: Promise<unknown> = promise.then(end, end);
    this.#running.add(tracked);
    return promise;
  }

  /** Resolves once nothing runs. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}

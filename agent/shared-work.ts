import { asError } from '#registry/as-error.ts';
interface Running<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
}

/** Work that is done once for all who ask for the same key while it runs. It is aborted when the last of them has gone. */
export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /**
   * Joins the work of that key or begins it.
   * @throws what the work threw, or the signal's reason
   */
  async run(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const running = this.#running.get(key) ?? this.#begin(key, work);
    running.waiting += 1;
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(asError(signal.reason));
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([running.result, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      running.waiting -= 1;
      if (running.waiting === 0) this.#drop(key, running);
    }
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const running = { result: work(controller.signal), controller, waiting: 0 };
    // Whoever waits sees the failure; nobody may be waiting any more.
    running.result.catch(() => {});
    this.#running.set(key, running);
    return running;
  }

  #drop(key: string, running: Running<T>): void {
    if (this.#running.get(key) === running) this.#running.delete(key);
    running.controller.abort();
  }
}

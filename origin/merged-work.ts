import { abortable } from '#swarm/store/abortable.ts';

/** What came of work that others may have joined. `own`: it was done in this caller's name. */
export interface Merged<T> {
  readonly result: T;
  readonly own: boolean;
}

interface Running<T> {
  readonly credential: string;
  readonly result: Promise<T>;
}

/**
 * Work that is done once for all who ask for the same key while it runs. Requests merge, rights do not: what
 * failed because of the credential it was done with is done again for who has another one, one at a time.
 */
export class MergedWork<T> {
  readonly #running = new Map<string, Running<T>>();
  readonly #isPersonal: (error: unknown) => boolean;

  /** @param isPersonal whether a failure concerns nobody but whose credential was used */
  constructor(isPersonal: (error: unknown) => boolean) {
    this.#isPersonal = isPersonal;
  }

  get size(): number {
    return this.#running.size;
  }

  has(key: string): boolean {
    return this.#running.has(key);
  }

  /**
   * Joins the work of that key or begins it. It goes on when its first caller leaves: it has limits of its own.
   * @param credential same for callers whom upstream cannot tell apart
   * @throws what the work threw, or the signal's reason
   */
  async run(
    key: string,
    credential: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<Merged<T>> {
    for (;;) {
      signal.throwIfAborted();
      const running = this.#running.get(key);
      if (running === undefined)
        return { result: await abortable(this.#begin(key, credential, work), signal), own: true };
      try {
        return { result: await abortable(running.result, signal), own: false };
      } catch (error) {
        if (signal.aborted || running.credential === credential || !this.#isPersonal(error)) throw error;
      }
    }
  }

  #begin(key: string, credential: string, work: () => Promise<T>): Promise<T> {
    const result = work().finally(() => this.#running.delete(key));
    // Whoever waits sees the failure; nobody may be waiting any more.
    result.catch(() => undefined);
    this.#running.set(key, { credential, result });
    return result;
  }
}

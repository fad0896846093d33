/** A reader's place in the blob: the picker sees what it needs next, the tick how long it has waited. */
export interface Cursor {
  /** Piece that it needs next. */
  index: number;
  /** Since when it waits for that piece; undefined while it does not. Milliseconds. */
  waitingSince: number | undefined;
}

interface Waiter {
  readonly cursor: Cursor;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Those who read the blob in order while it comes. */
export class Readers {
  readonly #cursors = new Set<Cursor>();
  readonly #waiters = new Set<Waiter>();

  get cursors(): ReadonlySet<Cursor> {
    return this.#cursors;
  }

  open(index: number): Cursor {
    const cursor = { index, waitingSince: undefined };
    this.#cursors.add(cursor);
    return cursor;
  }

  close(cursor: Cursor): void {
    this.#cursors.delete(cursor);
  }

  /** Waits until `wake` or `fail` is called for the cursor's piece. @throws the abort reason, or what `fail` was given */
  async wait(cursor: Cursor, now: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    cursor.waitingSince = now;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { cursor, resolve, reject };
    const abort = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    signal.addEventListener('abort', abort, { once: true });
    this.#waiters.add(waiter);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#waiters.delete(waiter);
      cursor.waitingSince = undefined;
    }
  }

  wake(index: number): void {
    for (const { cursor, resolve } of this.#waiters) if (cursor.index === index) resolve();
  }

  fail(error: Error): void {
    for (const { reject } of this.#waiters) reject(error);
  }
}

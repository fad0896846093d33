/** A reader's place in the blob. */
export interface Cursor {
  /** Piece that it needs next. */
  index: number;
  /** Since when it waits for that piece; undefined while it does not. Milliseconds. */
  waitingSince: number | undefined;
}

/** Those who read the blob in order while it comes. */
export class Readers {
  readonly #cursors = new Set<Cursor>();
  readonly #waiting = new Map<Cursor, { resolve: () => void; reject: (error: Error) => void }>();

  get cursors(): ReadonlySet<Cursor> {
    return this.#cursors;
  }

  /** Whether one is at this piece or before it. */
  anyUpTo(index: number): boolean {
    for (const cursor of this.#cursors) if (cursor.index <= index) return true;
    return false;
  }

  /** How long the one that waits longest has waited; 0 where none does. Milliseconds. */
  longestWait(now: number): number {
    let longest = 0;
    for (const { waitingSince = now } of this.#cursors) longest = Math.max(longest, now - waitingSince);
    return longest;
  }

  /** From now on the reader can wait; when the signal aborts, its wait ends with the reason. */
  open(index: number, signal: AbortSignal): Cursor & Disposable {
    const abort = (): void => {
      const { reason } = signal as { reason: unknown };
      this.#waiting.get(cursor)?.reject(reason instanceof Error ? reason : new Error('aborted'));
    };
    const cursor: Cursor & Disposable = {
      index,
      waitingSince: undefined,
      [Symbol.dispose]: () => {
        signal.removeEventListener('abort', abort);
        this.#cursors.delete(cursor);
      },
    };
    // Once for the whole of a read: a listener for each wait costs more than the wait.
    signal.addEventListener('abort', abort, { once: true });
    this.#cursors.add(cursor);
    return cursor;
  }

  /** Waits until `wake` or `fail` is called for the cursor's piece. @throws the abort reason, or what `fail` was given */
  async wait(cursor: Cursor, now: number): Promise<void> {
    cursor.waitingSince = now;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.set(cursor, { resolve, reject });
    try {
      await promise;
    } finally {
      this.#waiting.delete(cursor);
      cursor.waitingSince = undefined;
    }
  }

  wake(index: number): void {
    for (const [cursor, { resolve }] of this.#waiting) if (cursor.index === index) resolve();
  }

  fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
  }
}

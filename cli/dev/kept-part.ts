import { type Backoff, backoffMs, pause } from '#registry/retry.ts';

import type { Child } from './child.ts';

/** Restarts in a row that did not last; one more is not tried. */
const MAX_RESTARTS = 5;
/** A part that has run for so long has started well: what ends it then is counted anew. */
const STEADY_MS = 30_000;

export interface KeptPartParts {
  readonly start: () => Promise<Child>;
  readonly output: { write(text: string): unknown };
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Of restarts in a row. */
  readonly backoff: Backoff;
}

/** A part that is started again when it ends by itself, as a DaemonSet would; disposing it stops it for good. */
export class KeptPart implements AsyncDisposable {
  readonly #parts: KeptPartParts;
  readonly #over = new AbortController();
  #child: Child;
  /** Rejects when the part has ended too often; resolves when it was stopped. */
  readonly kept: Promise<void>;

  /** @param first started before */
  constructor(first: Child, parts: KeptPartParts) {
    this.#parts = parts;
    this.#child = first;
    this.kept = this.#keep();
    this.kept.catch(() => undefined); // looked at by the caller, if at all
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('stopped'));
    await this.#child[Symbol.asyncDispose]();
    await this.kept.catch(() => undefined);
  }

  async #keep(): Promise<void> {
    const { now } = this.#parts;
    const { signal } = this.#over;
    let startedAt = now();
    for (let endings = 1; ; endings += 1) {
      const how = await this.#child.ended;
      if (signal.aborted) return;
      if (now() - startedAt > STEADY_MS) endings = 1;
      if (endings > MAX_RESTARTS) throw new Error(`${this.#child.name} ${how}, ${endings} times in a row`);
      await this.#startAgain(how, endings).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
      startedAt = now();
    }
  }

  async #startAgain(how: string, endings: number): Promise<void> {
    const { output, backoff, start } = this.#parts;
    const { signal } = this.#over;
    const wait = backoffMs(endings, backoff);
    output.write(`${this.#child.name} | ${how}; started again in ${(wait / 1000).toFixed(1)} s\n`);
    await pause(wait, signal);
    const child = await start();
    this.#child = child;
    if (signal.aborted) await child[Symbol.asyncDispose]();
  }
}

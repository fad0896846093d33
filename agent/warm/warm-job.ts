import type { Digest } from '#registry/digest.ts';
import { describeError } from '#registry/redact.ts';
import { backoffMs } from '#registry/retry.ts';
import type { WarmAnswer } from '#service/warm-messages.ts';
import {
  WARM_BACKOFF_BASE_MS,
  WARM_BACKOFF_CAP_MS,
  WARM_INTEREST_MS,
  WARM_REASON_CHARACTERS,
} from './defaults.ts';
import type { ImageParts } from './warm-image.ts';

export interface WarmJobParts {
  readonly holds: (digest: Digest) => boolean;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Fetches the image; tells what it is made of as soon as that is known. */
export type Fetch = (onFound: (found: ImageParts) => void, signal: AbortSignal) => Promise<void>;

/** One image that somebody wants this node to hold: what is known of it, and the attempt that runs. */
export class WarmJob {
  /** When it was last asked for. */
  askedAt: number;
  readonly #parts: WarmJobParts;
  #found: ImageParts | undefined;
  #run: { readonly ending: AbortController; readonly done: Promise<void> } | undefined;
  #failures = 0;
  #reason: string | undefined;
  #notBefore = -Infinity;

  constructor(parts: WarmJobParts) {
    this.#parts = parts;
    this.askedAt = parts.now();
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  /** Everything that the image was found to be made of is held, now. */
  get isWarm(): boolean {
    return this.#found?.digests.every((digest) => this.#parts.holds(digest)) ?? false;
  }

  /** Somebody asked for it of late. */
  get isWanted(): boolean {
    return this.#parts.now() - this.askedAt < WARM_INTEREST_MS;
  }

  get isDue(): boolean {
    return this.isWanted && !this.isRunning && !this.isWarm && this.#parts.now() >= this.#notBefore;
  }

  /** What the image's reference was resolved to, once that is known. */
  get root(): Digest | undefined {
    return this.#found?.root;
  }

  start(fetch: Fetch, onEnd: () => void): void {
    const ending = new AbortController();
    const done = this.#attempt(fetch, ending.signal).finally(() => {
      this.#run = undefined;
      onEnd();
    });
    this.#run = { ending, done };
  }

  /** Gives it up; resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#run?.ending.abort(new Error('nobody asks for the image any more'));
    await this.#run?.done;
  }

  answer(): WarmAnswer {
    const blobs = this.#found?.blobs;
    const held = blobs?.filter(({ digest }) => this.#parts.holds(digest));
    return {
      state: this.#state,
      ...(this.#found && { digest: this.#found.root }),
      ...(blobs && held && { blobs: { total: blobs.length, held: held.length } }),
      ...(blobs && held && { bytes: { total: sum(blobs), held: sum(held) } }),
      ...(this.#reason !== undefined && !this.isWarm && { reason: this.#reason }),
    };
  }

  get #state(): WarmAnswer['state'] {
    if (this.isWarm) return 'warm';
    if (this.isRunning) return 'fetching';
    return this.#failures > 0 ? 'failed' : 'waiting';
  }

  /** Never rejects. */
  async #attempt(fetch: Fetch, signal: AbortSignal): Promise<void> {
    try {
      await fetch((found) => (this.#found = found), signal);
      // What is evicted at once must not be fetched again at once.
      if (!this.isWarm) throw new Error('what was fetched is not held any more: the store has no room');
      this.#failures = 0;
      this.#reason = undefined;
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      this.#reason = describeError(error, WARM_REASON_CHARACTERS);
      const { now, random } = this.#parts;
      const backoff = { baseMs: WARM_BACKOFF_BASE_MS, capMs: WARM_BACKOFF_CAP_MS, random };
      this.#notBefore = now() + backoffMs(this.#failures, backoff);
    }
  }
}

function sum(blobs: ImageParts['blobs']): number {
  return blobs.reduce((total, { size }) => total + size, 0);
}

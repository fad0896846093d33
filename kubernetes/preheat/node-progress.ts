import { backoffMs } from '#registry/retry.ts';
import type { WarmAnswer } from '#service/warm-messages.ts';

import { NODE_BACKOFF_CAP_MS, NODE_BACKOFF_MS } from './constants.ts';

/** How far one node is with the images of one preheat. */
export class NodeProgress {
  readonly #images: readonly string[];
  readonly #warm = new Set<string>();
  /** Why an image is not there, of those whose last attempt failed. */
  readonly #faults = new Map<string, string>();
  #failures = 0;
  #notBefore = -Infinity;
  /** It is being asked. */
  busy = false;

  constructor(images: readonly string[]) {
    this.#images = images;
  }

  get isWarm(): boolean {
    return this.#warm.size === this.#images.length;
  }

  /** Its last attempt failed, at one image at least. */
  get hasFailed(): boolean {
    return this.#faults.size > 0;
  }

  holds(image: string): boolean {
    return this.#warm.has(image);
  }

  faultOf(image: string): string | undefined {
    return this.#faults.get(image);
  }

  /** Images that it does not hold, as far as is known. */
  get missing(): string[] {
    return this.#images.filter((image) => !this.#warm.has(image));
  }

  isDue(now: number): boolean {
    return !this.busy && !this.isWarm && now >= this.#notBefore;
  }

  took(image: string, { state, reason }: WarmAnswer): void {
    if (state === 'warm') this.#warm.add(image);
    if (state === 'warm') this.#faults.delete(image);
    if (state === 'failed') this.#faults.set(image, reason ?? 'the agent does not say why');
    if (state === 'fetching' || state === 'warm') this.#failures = 0;
  }

  /** What it holds by that name is not what is meant. */
  lacks(image: string): void {
    this.#warm.delete(image);
  }

  /** The agent could not be asked. */
  lost(reason: string): void {
    for (const image of this.missing) this.#faults.set(image, reason);
  }

  /** It is left alone for a while that doubles. @param random uniform in [0, 1) */
  pause(now: number, random: () => number): void {
    this.#failures += 1;
    const backoff = { baseMs: NODE_BACKOFF_MS, capMs: NODE_BACKOFF_CAP_MS, random };
    this.#notBefore = now + backoffMs(this.#failures, backoff);
  }
}

import type { Digest } from '#registry/digest.ts';
import { REMEMBERED_TAGS, TAG_NEWS_MS, TAG_NEWS_WIDTH } from '#agent/defaults.ts';
import { LruMap } from '#service/lru-map.ts';

/** Which tags the origins have been told of. What is told does not hold up those who asked for the tag. */
export class TagNews {
  readonly #now: () => number;
  readonly #told = new LruMap<string, { digest: Digest; at: number }>(REMEMBERED_TAGS);
  readonly #telling = new Set<string>();

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Tells of a tag, unless that was done of late, is being done, or too many others are: then whoever asks for the tag next
   * has it told.
   * @param tell resolves to whether an origin has taken it
   */
  spread(tag: string, digest: Digest, tell: () => Promise<boolean>): void {
    const told = this.#told.get(tag);
    if (told?.digest === digest && this.#now() - told.at < TAG_NEWS_MS) return;
    if (this.#telling.has(tag) || this.#telling.size >= TAG_NEWS_WIDTH) return;
    this.#telling.add(tag);
    const ended = (taken: boolean): void => {
      this.#telling.delete(tag);
      if (taken) this.#told.set(tag, { digest, at: this.#now() });
    };
    tell().then(ended, () => ended(false));
  }
}

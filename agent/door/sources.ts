import type { Digest } from '#registry/digest.ts';
import { REMEMBERED_SOURCES } from '#agent/defaults.ts';
import { LruMap } from '#service/lru-map.ts';
import type { Source } from '#agent/metrics.ts';

export type BytesBySource = Readonly<Record<Source, number>>;

const NOTHING: BytesBySource = { cache: 0, peer: 0, origin: 0, upstream: 0 };

/** Where the bytes of recently pulled digests came from, over all pulls: for progress bars and tables, which take differences. No content, and bounded. */
export class RecentSources {
  readonly #byDigest = new LruMap<Digest, Record<Source, number>>(REMEMBERED_SOURCES);

  /** What all pulls of the digest got lately, together; undefined where there was none. */
  get(digest: Digest): BytesBySource | undefined {
    return this.#byDigest.get(digest);
  }

  add(digest: Digest, source: Source, bytes: number): void {
    const known = this.#byDigest.get(digest) ?? { ...NOTHING };
    known[source] += bytes;
    this.#byDigest.set(digest, known);
  }
}

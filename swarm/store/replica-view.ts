import type { Digest } from '#registry/digest.ts';
import { REPLICA_MEMORY_MS, REPLICA_TIMEOUT_MS } from './constants.ts';
import type { StoreLogger } from './store-logger.ts';

/** Of these digests, those with a complete copy elsewhere. */
export type AskReplicas = (digests: Digest[]) => Promise<Set<Digest>>;

/**
 * Which candidates for eviction have copies elsewhere. An eviction must not wait long for an answer, nor again and
 * again for one that does not come: answers and failures are remembered for a while.
 */
export class ReplicaView {
  readonly #ask: AskReplicas | undefined;
  readonly #now: () => number;
  readonly #logger: StoreLogger;
  #asked: ReadonlySet<Digest> = new Set();
  #replicated: ReadonlySet<Digest> = new Set();
  #failedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(parts: { ask: AskReplicas | undefined; now: () => number; logger: StoreLogger }) {
    this.#ask = parts.ask;
    this.#now = parts.now;
    this.#logger = parts.logger;
  }

  /** Never rejects: what is not known to be elsewhere counts as the last copy. */
  async among(candidates: Digest[]): Promise<ReadonlySet<Digest>> {
    if (!this.#ask || candidates.length === 0) return new Set();
    const now = this.#now();
    if (now - this.#failedAt < REPLICA_MEMORY_MS) return new Set();
    if (now - this.#askedAt >= REPLICA_MEMORY_MS || !candidates.every((digest) => this.#asked.has(digest))) {
      await this.#refresh(this.#ask, candidates, now);
    }
    return this.#replicated;
  }

  async #refresh(ask: AskReplicas, candidates: Digest[], now: number): Promise<void> {
    this.#asked = new Set(candidates);
    this.#replicated = new Set();
    this.#askedAt = now;
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timeout.reject(new Error(`no answer within ${REPLICA_TIMEOUT_MS} ms`));
    }, REPLICA_TIMEOUT_MS);
    try {
      this.#replicated = await Promise.race([ask(candidates), timeout.promise]);
    } catch (error) {
      this.#failedAt = now;
      this.#logger.debug({ err: error }, 'replicas are not known, the eviction goes by last access alone');
    } finally {
      clearTimeout(timer);
    }
  }
}

import type { Trouble } from '#swarm/announce/messages.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';

/** How long something counts after it was last seen. Milliseconds. */
const TROUBLE_MS = 10 * 60_000;

/** What whoever runs the cluster should do something about at this member, as of the last ten minutes. */
export class Troubles {
  readonly #store: Pick<BlobStore, 'usage'>;
  readonly #now: () => number;
  #refusals = 0;
  #refusedAt = -Infinity;

  /** @param now milliseconds, monotonic */
  constructor(store: Pick<BlobStore, 'usage'>, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  current(): Trouble[] {
    const { refusals } = this.#store.usage();
    if (refusals > this.#refusals) this.#refusedAt = this.#now();
    this.#refusals = refusals;
    return this.#now() - this.#refusedAt < TROUBLE_MS ? ['store-full'] : [];
  }
}

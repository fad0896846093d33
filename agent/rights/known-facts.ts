import { FACTS_PER_DIGEST, REMEMBERED_FACTS } from '#agent/defaults.ts';
import { LruMap } from '#service/lru-map.ts';
import type { Digest } from '#registry/digest.ts';

/** What is known of a digest: see swarm/store. */
export interface Facts {
  readonly registries: readonly string[];
  readonly repositories: readonly string[];
  readonly mediaType?: string;
}

/** The part of the store that keeps facts of what it holds. */
export interface FactStore {
  stat(digest: Digest): { readonly facts: Facts } | undefined;
  addFacts(digest: Digest, facts: Partial<Facts>): void;
}

/** What else may be told with a delivery. */
export interface Description {
  readonly mediaType?: string | undefined;
  /** In bytes. */
  readonly size?: number | undefined;
}

interface Remembered extends Description {
  readonly registries: string[];
  readonly repositories: string[];
}

/**
 * Two facts of a digest, kept apart. Membership: the registry answers for it under that repository. Provenance:
 * the registry delivered these very bytes, or proved to have them. A hostile registry can claim the first of any
 * digest; the second it has only with the bytes. Content in the store has its facts there; what is not held (yet) has
 * them here, bounded.
 */
export class KnownFacts {
  readonly #store: FactStore;
  readonly #remembered = new LruMap<Digest, Remembered>(REMEMBERED_FACTS);

  constructor(store: FactStore) {
    this.#store = store;
  }

  isMember(digest: Digest, registry: string, repository: string): boolean {
    const name = `${registry}/${repository}`;
    return this.#some(digest, ({ repositories }) => repositories.includes(name));
  }

  isDelivered(digest: Digest, registry: string): boolean {
    return this.#some(digest, ({ registries }) => registries.includes(registry));
  }

  mediaType(digest: Digest): string | undefined {
    return this.#store.stat(digest)?.facts.mediaType ?? this.#remembered.get(digest)?.mediaType;
  }

  /** As it was delivered; of what is not in the store. */
  size(digest: Digest): number | undefined {
    return this.#remembered.get(digest)?.size;
  }

  /** The registry answers for the digest under that repository. */
  learnMember(digest: Digest, registry: string, repository: string): void {
    this.#learn(digest, { repositories: [`${registry}/${repository}`] });
  }

  /** The registry delivered the digest's bytes under that repository, or proved to have them. */
  learnDelivered(digest: Digest, registry: string, repository: string, description: Description = {}): void {
    this.#learn(digest, {
      registries: [registry],
      repositories: [`${registry}/${repository}`],
      ...description,
    });
  }

  /** Moves what is remembered of a digest into the store, which has just taken its bytes. */
  settle(digest: Digest): void {
    const known = this.#remembered.get(digest);
    if (known === undefined || this.#store.stat(digest) === undefined) return;
    this.#store.addFacts(digest, storable(known));
    this.#remembered.delete(digest);
  }

  #some(digest: Digest, test: (facts: Pick<Facts, 'registries' | 'repositories'>) => boolean): boolean {
    const stored = this.#store.stat(digest)?.facts;
    if (stored !== undefined && test(stored)) return true;
    const remembered = this.#remembered.get(digest);
    return remembered !== undefined && test(remembered);
  }

  #learn(digest: Digest, news: Partial<Remembered>): void {
    if (this.#store.stat(digest) !== undefined) {
      this.#store.addFacts(digest, storable(news));
      return;
    }
    const known = this.#remembered.get(digest);
    this.#remembered.set(digest, {
      registries: merged(known?.registries, news.registries),
      repositories: merged(known?.repositories, news.repositories),
      mediaType: news.mediaType ?? known?.mediaType,
      size: news.size ?? known?.size,
    });
  }
}

function storable({ registries = [], repositories = [], mediaType }: Partial<Remembered>): Facts {
  return { registries, repositories, ...(mediaType !== undefined && { mediaType }) };
}

function merged(known: readonly string[] = [], news: readonly string[] = []): string[] {
  return [...new Set([...known.filter((name) => !news.includes(name)), ...news])].slice(-FACTS_PER_DIGEST);
}

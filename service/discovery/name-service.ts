import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';

import { QUERY_TIMEOUT_MS, QUERY_TRIES } from './constants.ts';

/** What the name service said. */
export interface Resolved<T> {
  readonly records: readonly T[];
  /** The name in full that they are records of, without a dot at its end. */
  readonly name: string;
  /** Seconds that the answer may be kept; undefined where it is not known. */
  readonly ttl: number | undefined;
}

export interface ServiceTarget {
  /** Without a dot at its end. */
  readonly host: string;
  readonly port: number;
}

/** The part of `dns.promises.Resolver` that is asked. */
export type Queries = Pick<Resolver, 'resolve4' | 'resolve6' | 'resolveSrv'>;

export interface SearchRules {
  /** Domains that complete a short name, in order. */
  readonly search: readonly string[];
  /** Dots from which on a name is tried as it is before it is completed. */
  readonly ndots: number;
}

/** No answer: the name service is out of order, or nobody has the name. */
export class NameServiceError extends Error {
  override readonly name = 'NameServiceError';
}

/**
 * Addresses and services by DNS, without `getaddrinfo`: that occupies a thread of the pool that files need too, for as
 * long as a name server is silent. Names are completed as resolv.conf(5) says, so that no cluster domain is needed.
 */
export class NameService {
  readonly #queries: Queries;
  readonly #rules: SearchRules;
  /** The candidate that had an answer last, by name that needs completion: those come from the configuration alone. */
  readonly #complete = new Map<string, string>();

  constructor(queries: Queries = defaultQueries(), rules: SearchRules = readSearchRules()) {
    this.#queries = queries;
    this.#rules = rules;
  }

  /**
   * IPv4 addresses, or IPv6 ones where there are no others: a member with both must not count twice.
   * @throws NameServiceError
   */
  addresses(name: string): Promise<Resolved<string>> {
    return this.#search(name, async (candidate) => {
      const [four, six] = await Promise.all([
        records(this.#queries.resolve4(candidate, { ttl: true })),
        records(this.#queries.resolve6(candidate, { ttl: true })),
      ]);
      const found = four.length > 0 ? four : six;
      return {
        records: found.map(({ address }) => address),
        ttl: found.length > 0 ? Math.min(...found.map(({ ttl }) => ttl)) : undefined,
      };
    });
  }

  /** Targets of a service (RFC 2782); priority and weight are not looked at. @throws NameServiceError */
  services(query: string): Promise<Resolved<ServiceTarget>> {
    return this.#search(query, async (candidate) => {
      const found = await records(this.#queries.resolveSrv(candidate));
      return {
        records: found.map(({ name, port }) => ({ host: name.replace(/\.$/u, ''), port })),
        ttl: undefined,
      };
    });
  }

  async #search<T>(
    name: string,
    ask: (candidate: string) => Promise<Omit<Resolved<T>, 'name'>>,
  ): Promise<Resolved<T>> {
    for (const candidate of this.#candidates(name)) {
      const answer = await ask(candidate);
      if (answer.records.length === 0) continue;
      if (!name.endsWith('.')) this.#complete.set(name, candidate);
      return { ...answer, name: candidate };
    }
    throw new NameServiceError(`the name service knows nobody by the name ${name}`);
  }

  #candidates(name: string): string[] {
    if (name.endsWith('.')) return [name.slice(0, -1)];
    const completed = this.#rules.search.map((domain) => `${name}.${domain}`);
    const asItIs = name.split('.').length > this.#rules.ndots;
    const all = asItIs ? [name, ...completed] : [...completed, name];
    const last = this.#complete.get(name);
    return last === undefined ? all : [last, ...all.filter((candidate) => candidate !== last)];
  }
}

/** Empty where there are none by that name. @throws NameServiceError */
async function records<T>(answer: Promise<T[]>): Promise<T[]> {
  try {
    return await answer;
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code === 'ENOTFOUND' || code === 'ENODATA') return [];
    throw new NameServiceError(`the name service does not answer: ${String(code ?? cause)}`, { cause });
  }
}

function defaultQueries(): Queries {
  return new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
}

const DEFAULT_RULES: SearchRules = { search: [], ndots: 1 };

/** What resolv.conf(5) says of short names; nothing where there is no such file. */
function readSearchRules(path = '/etc/resolv.conf'): SearchRules {
  try {
    return parseSearchRules(readFileSync(path, 'utf8'));
  } catch {
    return DEFAULT_RULES;
  }
}

/** Of `search` or `domain` the last line counts; glibc takes at most 15 for `ndots`. */
export function parseSearchRules(text: string): SearchRules {
  let { search, ndots } = DEFAULT_RULES;
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/u);
    if (keyword === 'search' || keyword === 'domain')
      search = words.map((domain) => domain.replace(/\.$/u, '')).filter((domain) => domain !== '');
    if (keyword !== 'options') continue;
    const dots = words.map((word) => /^ndots:(\d{1,2})$/u.exec(word)?.[1]).find((found) => found);
    if (dots !== undefined) ndots = Math.min(15, Number(dots));
  }
  return { search, ndots };
}

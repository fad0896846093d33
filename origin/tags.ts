import { type Digest, isDigest } from '#registry/digest.ts';
import type { Upstream } from '#registry/upstream.ts';
import { resultError } from '#registry/upstream-answer.ts';
import { UpstreamRefusedError, UpstreamUnreachableError } from '#registry/upstream-error.ts';
import { LruMap } from '#service/lru-map.ts';
import { type Caller, inNameOf } from './caller.ts';
import { TAG_OUTAGE_MS } from './defaults.ts';
import type { OriginEvents } from './events.ts';
import { type Merged, MergedWork } from './merged-work.ts';
import type { Content, SmallContent } from './small-content.ts';

export interface TagsParts {
  readonly upstream: Pick<Upstream, 'head'>;
  readonly small: Pick<SmallContent, 'manifest'>;
  readonly events: Pick<OriginEvents, 'tag'>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

export interface TagsOptions {
  /** How long a resolved tag is believed. */
  readonly lifetimeMs: number;
  /** How long after that it still stands in while upstream is unreachable. */
  readonly staleMs: number;
  readonly maxEntries: number;
}

/** How a registry is asked for a tag for the first time. */
type FirstAsked = 'get' | 'head';

interface Known {
  readonly digest: Digest;
  /** When upstream last said so. */
  readonly at: number;
  /** Until when upstream, which was unreachable, is not asked again. */
  readonly outageUntil: number;
}

/** What a tag stands for; with the content where upstream has just given it. */
export interface Resolved {
  readonly digest: Digest;
  readonly content?: Content;
}

/**
 * Tags, resolved once for all nodes. A tag is another thing for each Accept header; after its lifetime the registry
 * is asked by HEAD, in the name of whoever asks next.
 */
export class Tags {
  readonly #parts: TagsParts;
  readonly #options: TagsOptions;
  readonly #known: LruMap<string, Known>;
  readonly #resolving = new MergedWork<Resolved>((error) => error instanceof UpstreamRefusedError);

  constructor(parts: TagsParts, options: TagsOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#known = new LruMap(options.maxEntries);
  }

  get size(): number {
    return this.#known.size;
  }

  /** Whether the answer needs nobody else. */
  isFresh(caller: Caller, tag: string, accept: string | undefined): boolean {
    const known = this.#known.get(keyOf(caller, tag, accept));
    return known !== undefined && this.#parts.now() - known.at < this.#options.lifetimeMs;
  }

  /**
   * `own`: upstream was asked, in this caller's name.
   * @param first how upstream is asked for a tag that is not known: by GET, or by HEAD where its content is not wanted
   * @throws UpstreamRefusedError, UpstreamUnreachableError, UpstreamProtocolError, WrongContentError, the signal's reason
   */
  async resolve(
    caller: Caller,
    tag: string,
    accept: string | undefined,
    first: FirstAsked,
    signal: AbortSignal,
  ): Promise<Merged<Resolved>> {
    const key = keyOf(caller, tag, accept);
    const known = this.#known.get(key);
    if (known !== undefined && this.isFresh(caller, tag, accept)) {
      this.#parts.events.tag('cached', caller, tag);
      return { result: { digest: known.digest }, own: false };
    }
    if (known !== undefined && this.#parts.now() < known.outageUntil && this.#isUsable(known))
      return this.#stale(caller, tag, known);
    try {
      return await this.#resolving.run(key, caller.authorization ?? '', signal, () =>
        known === undefined && first === 'get'
          ? this.#fetch(key, caller, tag, accept)
          : this.#revalidate(key, known, caller, tag, accept),
      );
    } catch (error) {
      if (!(error instanceof UpstreamUnreachableError) || known === undefined || !this.#isUsable(known))
        throw error;
      this.#known.set(key, { ...known, outageUntil: this.#parts.now() + TAG_OUTAGE_MS });
      return this.#stale(caller, tag, known);
    }
  }

  #stale(caller: Caller, tag: string, { digest }: Known): Merged<Resolved> {
    this.#parts.events.tag('stale', caller, tag);
    return { result: { digest }, own: false };
  }

  #isUsable({ at }: Known): boolean {
    return this.#parts.now() - at < this.#options.lifetimeMs + this.#options.staleMs;
  }

  async #fetch(key: string, caller: Caller, tag: string, accept: string | undefined): Promise<Resolved> {
    const { small, life, events } = this.#parts;
    const { result: content } = await small.manifest(caller, tag, accept, life);
    this.#note(key, content.digest);
    events.tag('resolved', caller, tag);
    return { digest: content.digest, content };
  }

  async #revalidate(
    key: string,
    known: Known | undefined,
    caller: Caller,
    tag: string,
    accept: string | undefined,
  ): Promise<Resolved> {
    const { registry, repository } = caller;
    const target = { registry, repository, kind: 'manifest', reference: tag } as const;
    const options = { attempts: 1, ...(accept !== undefined && { accept }) };
    const result = await this.#parts.upstream.head(target, inNameOf(caller), this.#parts.life, options);
    if (!result.ok) {
      if (result.kind === 'refused' && result.status === 404) this.#known.delete(key);
      throw resultError(registry, result);
    }
    const { digest } = result;
    if (digest === undefined || !isDigest(digest)) return this.#fetch(key, caller, tag, accept);
    this.#note(key, digest);
    const outcome = known === undefined ? 'resolved' : digest === known.digest ? 'revalidated' : 'moved';
    this.#parts.events.tag(outcome, caller, tag);
    return { digest };
  }

  #note(key: string, digest: Digest): void {
    this.#known.set(key, { digest, at: this.#parts.now(), outageUntil: 0 });
  }
}

function keyOf({ registry, repository }: Caller, tag: string, accept: string | undefined): string {
  return JSON.stringify([registry, repository, tag, normalizeAccept(accept)]);
}

/** The same types in another order or spelling ask for the same (RFC 9110, 12.5.1). */
export function normalizeAccept(accept: string | undefined): string {
  if (accept === undefined) return '';
  const types = accept.split(',').map((type) => type.replaceAll(/\s+/gu, '').toLowerCase());
  return [...new Set(types.filter((type) => type !== ''))].sort().join(',');
}

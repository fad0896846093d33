import { asError } from '#registry/as-error.ts';
import { type Digest, digestAlgorithm, digestOf, isDigest } from '#registry/digest.ts';
import { detectManifestType, ManifestError, OCI_MANIFEST } from '#registry/media-types.ts';
import {
  MANIFEST_LIMIT,
  PEER_MANIFEST_MS,
  REMEMBERED_TAG_MS,
  REMEMBERED_TAGS,
  SMALL_BYTES,
} from '#agent/defaults.ts';
import type { AgentEvents } from '#agent/events.ts';
import { LruMap } from '#service/lru-map.ts';
import type { Source } from '#agent/metrics.ts';
import type { OriginAnswer } from '#agent/origin-answer.ts';
import type { KnownFacts } from '#agent/rights/known-facts.ts';
import type { Question, Verdict, Verdicts } from '#agent/rights/verdicts.ts';
import {
  type Caller,
  readWhole,
  type Told,
  type Upstream,
  type UpstreamRequest,
  WrongContentError,
} from '#agent/upstream.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { verifiedBytes } from '#swarm/store/verified-bytes.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import { type Denied, deniedBy, deniedByFailure } from './access.ts';
import type { SmallContent } from './small-content.ts';
import { readJoined } from './streams.ts';
import type { Swarm } from './swarm.ts';
import { TagNews } from './tag-news.ts';

/** A manifest, verified against its digest. */
export interface Manifest {
  readonly kind: 'manifest';
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly source: Source;
}

/** What a HEAD of a manifest is answered with. */
export interface ManifestHead {
  readonly kind: 'head';
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
}

/** One caller's wish for one manifest. */
export interface ManifestWish {
  readonly caller: Caller;
  /** Tag or digest. */
  readonly reference: string;
  readonly accept: string | undefined;
  readonly signal: AbortSignal;
}

export interface ManifestAccessParts {
  readonly verdicts: Pick<Verdicts, 'check' | 'heed' | 'revoke'>;
  readonly known: KnownFacts;
  readonly store: Pick<BlobStore, 'open'>;
  readonly small: Pick<SmallContent, 'keep'>;
  readonly origins: {
    fetch(request: UpstreamRequest, signal: AbortSignal): Promise<OriginAnswer>;
    /** @returns whether an origin knows the tag now */
    noteTag(request: UpstreamRequest, signal: AbortSignal): Promise<boolean>;
  };
  readonly upstream: Upstream;
  readonly swarm: Swarm;
  readonly now: () => number;
  readonly events: Pick<AgentEvents, 'servedStaleTag'>;
  /** Ends with the agent. */
  readonly life: AbortSignal;
}

type Positive = Extract<Verdict, { outcome: 'positive' }>;

/** Manifests by tag and by digest, under the same rights as blobs. A tag's digest is only ever upstream's word, or an origin's fresh one. */
export class ManifestAccess {
  readonly #parts: ManifestAccessParts;
  readonly #tags = new LruMap<string, { digest: Digest; at: number }>(REMEMBERED_TAGS);
  readonly #news: TagNews;

  constructor(parts: ManifestAccessParts) {
    this.#parts = parts;
    this.#news = new TagNews(parts.now);
  }

  /** Throws only what is not foreseen, or the signal's reason. */
  async get(wish: ManifestWish): Promise<Manifest | Denied> {
    if (isDigest(wish.reference)) return this.#named(wish, wish.reference);
    return this.#tagged(wish);
  }

  /** As `get`, but upstream's own HEAD answers where it was asked for this very manifest. */
  async head(wish: ManifestWish): Promise<ManifestHead | Denied> {
    const { caller, reference, accept, signal } = wish;
    const resource = { kind: 'manifest', reference } as const;
    const held = isDigest(reference) ? await this.#held(caller, reference) : undefined;
    const verdict = await this.#parts.verdicts.check(
      caller,
      { resource, accept, always: held === undefined },
      signal,
    );
    if (verdict.outcome !== 'positive') return deniedBy(verdict);
    const told = verdict.by === 'upstream' ? headOf(verdict.told, reference) : undefined;
    if (told !== undefined) {
      if (!isDigest(reference)) this.#spreadTag(wish, told.digest);
      return told;
    }
    const manifest = held ?? (await this.get(wish));
    if (manifest.kind !== 'manifest') return manifest;
    const { digest, bytes, mediaType } = manifest;
    return { kind: 'head', digest, mediaType, size: bytes.length };
  }

  async #named(wish: ManifestWish, digest: Digest): Promise<Manifest | Denied> {
    const { caller, accept, signal } = wish;
    const question = { resource: { kind: 'manifest', reference: digest }, accept } as const;
    const held = await this.#held(caller, digest);
    if (held !== undefined) {
      const verdict = await this.#parts.verdicts.check(caller, question, signal);
      return verdict.outcome === 'positive' ? held : deniedBy(verdict);
    }
    const asking = this.#askOrigin(wish, digest);
    const verdict = await this.#judge(wish, question, asking);
    if (verdict.outcome !== 'positive') return deniedBy(verdict);
    return this.#fetch(wish, digest, verdict, await asking.answer);
  }

  async #tagged(wish: ManifestWish): Promise<Manifest | Denied> {
    const { reference, accept } = wish;
    const asking = this.#askOrigin(wish, reference);
    const verdict = await this.#judge(wish, { resource: { kind: 'manifest', reference }, accept }, asking);
    if (verdict.outcome !== 'positive') return deniedBy(verdict);
    const manifest =
      verdict.by === 'upstream' && verdict.told.digest !== undefined
        ? await this.#resolved(wish, verdict.told.digest, verdict, asking)
        : await this.#byOrigin(wish, verdict, await asking.answer);
    if (manifest.kind === 'manifest') this.#rememberTag(wish, manifest.digest);
    return manifest;
  }

  /** Upstream's word, or an origin's where this node has none. */
  async #judge({ caller, signal }: ManifestWish, question: Question, asking: Asking): Promise<Verdict> {
    const { verdicts } = this.#parts;
    const verdict = await verdicts.check(caller, question, signal);
    if (verdict.outcome === 'positive') return verdict;
    if (verdict.outcome !== 'refused') return verdicts.heed(caller, verdict, await asking.answer);
    asking.abandon();
    return verdict;
  }

  /** Upstream has just said which digest the tag has; an origin's word about the tag may be older. */
  async #resolved(
    wish: ManifestWish,
    digest: Digest,
    verdict: Positive,
    asking: Asking,
  ): Promise<Manifest | Denied> {
    const held = await this.#held(wish.caller, digest);
    if (held !== undefined) {
      asking.abandon();
      return held;
    }
    const answer = await asking.answer;
    if (answer.kind === 'content' && isContentOf(digest, answer.bytes))
      return this.#take(wish, digest, answer);
    return this.#fetch(wish, digest, verdict, await this.#askOrigin(wish, digest).answer);
  }

  /** The caller's right needed no question to upstream, so the origins resolve the tag. */
  async #byOrigin(wish: ManifestWish, verdict: Positive, answer: OriginAnswer): Promise<Manifest | Denied> {
    switch (answer.kind) {
      case 'content':
        return this.#take(wish, digestOf(answer.bytes), answer);
      case 'refused':
        if (verdict.by === 'upstream') break;
        this.#parts.verdicts.revoke(wish.caller, answer.refusal);
        return answer;
      case 'swarm':
      case 'unreachable':
      case 'absent':
    }
    const manifest = await this.#fromUpstream(wish, wish.reference, undefined);
    return manifest.kind === 'unavailable' ? ((await this.#lastKnown(wish)) ?? manifest) : manifest;
  }

  async #fetch(
    wish: ManifestWish,
    digest: Digest,
    verdict: Positive,
    answer: OriginAnswer,
  ): Promise<Manifest | Denied> {
    const { known, verdicts } = this.#parts;
    const { registry, repository } = wish.caller;
    if (answer.kind === 'content' && isContentOf(digest, answer.bytes))
      return this.#take(wish, digest, answer);
    if (answer.kind === 'refused' && verdict.by !== 'upstream') {
      verdicts.revoke(wish.caller, answer.refusal);
      return answer;
    }
    const isOurs = known.isMember(digest, registry, repository) && known.isDelivered(digest, registry);
    const size = verdict.by === 'upstream' ? verdict.told.size : known.size(digest);
    const fromPeers =
      isOurs && size !== undefined && size <= SMALL_BYTES
        ? await this.#fromPeers(digest, size, wish.signal)
        : undefined;
    return fromPeers ?? this.#fromUpstream(wish, digest, digest);
  }

  async #fromUpstream(
    wish: ManifestWish,
    reference: string,
    digest: Digest | undefined,
  ): Promise<Manifest | Denied> {
    const { caller, accept, signal } = wish;
    const answer = await this.#parts.upstream.get(
      { caller, resource: { kind: 'manifest', reference }, accept },
      signal,
    );
    if (answer.kind !== 'ok') return deniedByFailure(answer);
    try {
      const bytes = await readWhole(answer.body, MANIFEST_LIMIT);
      const expected = digest ?? answer.told.digest ?? digestOf(bytes);
      if (!isContentOf(expected, bytes)) throw new WrongContentError(expected);
      return await this.#take(wish, expected, { bytes, mediaType: answer.told.mediaType }, 'upstream');
    } catch (cause) {
      signal.throwIfAborted();
      return { kind: 'unavailable', cause: asError(cause) };
    }
  }

  /** As a swarm of one piece, whose hash is the digest itself; only while no origin answers. */
  async #fromPeers(digest: Digest, size: number, signal: AbortSignal): Promise<Manifest | undefined> {
    const waiting = AbortSignal.any([signal, AbortSignal.timeout(PEER_MANIFEST_MS)]);
    try {
      const torrent = await this.#parts.swarm.torrent({ digest, scope: VERIFIED, size });
      try {
        const bytes = await readJoined(torrent.read(0, torrent.size, waiting));
        return this.#manifest(digest, bytes, undefined, 'peer');
      } finally {
        torrent.release();
      }
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  /** Registry and origins are down: the digest that the tag had not long ago, if we still hold it. */
  async #lastKnown(wish: ManifestWish): Promise<Manifest | undefined> {
    const known = this.#tags.get(tagKey(wish));
    if (known === undefined || this.#parts.now() - known.at > REMEMBERED_TAG_MS) return undefined;
    const held = await this.#held(wish.caller, known.digest);
    if (held !== undefined) this.#parts.events.servedStaleTag(wish.caller, wish.reference);
    return held;
  }

  /** From the store, where the caller's registry delivered it under the caller's repository. */
  async #held({ registry, repository }: Caller, digest: Digest): Promise<Manifest | undefined> {
    const { known, store } = this.#parts;
    if (!known.isMember(digest, registry, repository) || !known.isDelivered(digest, registry))
      return undefined;
    await using blob = await store.open(digest);
    if (blob === undefined || blob.size > MANIFEST_LIMIT) return undefined;
    const bytes = await verifiedBytes(blob);
    return bytes && this.#manifest(digest, bytes, known.mediaType(digest), 'cache');
  }

  async #take(
    wish: ManifestWish,
    digest: Digest,
    { bytes, mediaType }: { bytes: Buffer; mediaType: string | undefined },
    source: Source = 'origin',
  ): Promise<Manifest> {
    const manifest = this.#manifest(digest, bytes, mediaType, source);
    await this.#parts.small.keep(wish.caller, digest, bytes, manifest.mediaType);
    return manifest;
  }

  #manifest(digest: Digest, bytes: Buffer, mediaType: string | undefined, source: Source): Manifest {
    return { kind: 'manifest', digest, bytes, mediaType: mediaType ?? detectedType(bytes), source };
  }

  /**
   * containerd asks for a tag by HEAD, and for everything else by digest. So that the tag is known once the registry is gone,
   * an origin has to know it too: by a HEAD of its own, for registries count manifests that are read.
   */
  #spreadTag(wish: ManifestWish, digest: Digest): void {
    const { life, origins } = this.#parts;
    this.#rememberTag(wish, digest);
    const { caller, reference, accept } = wish;
    const request: UpstreamRequest = { caller, resource: { kind: 'manifest', reference }, accept };
    this.#news.spread(tagKey(wish), digest, () => origins.noteTag(request, life));
  }

  #rememberTag(wish: ManifestWish, digest: Digest): void {
    this.#tags.set(tagKey(wish), { digest, at: this.#parts.now() });
  }

  #askOrigin({ caller, accept, signal }: ManifestWish, reference: string): Asking {
    const abandoned = new AbortController();
    const request: UpstreamRequest = { caller, resource: { kind: 'manifest', reference }, accept };
    const answer = this.#parts.origins.fetch(request, AbortSignal.any([signal, abandoned.signal]));
    answer.catch(() => {});
    return { answer, abandon: () => abandoned.abort() };
  }
}

interface Asking {
  readonly answer: Promise<OriginAnswer>;
  abandon(): void;
}

function isContentOf(digest: Digest, bytes: Buffer): boolean {
  return digestOf(bytes, digestAlgorithm(digest)) === digest;
}

function headOf({ digest, size, mediaType }: Told, reference: string): ManifestHead | undefined {
  const told = isDigest(reference) ? reference : digest;
  if (told === undefined || size === undefined || mediaType === undefined) return undefined;
  return { kind: 'head', digest: told, size, mediaType };
}

function tagKey({ caller: { registry, repository }, reference, accept }: ManifestWish): string {
  return `${registry}/${repository}:${reference} ${accept ?? ''}`;
}

function detectedType(bytes: Buffer): string {
  try {
    return detectManifestType(bytes);
  } catch (error) {
    if (error instanceof ManifestError) return OCI_MANIFEST;
    throw error;
  }
}

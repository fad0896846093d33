import type { Digest } from '#registry/digest.ts';
import { SMALL_BYTES } from '#agent/defaults.ts';
import type { OriginAnswer } from '#agent/origin-answer.ts';
import type { KnownFacts } from '#agent/rights/known-facts.ts';
import type { Verdict, Verdicts } from '#agent/rights/verdicts.ts';
import type { Caller, UpstreamRequest } from '#agent/upstream.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import { type Access, type Denied, deniedBy } from './access.ts';
import type { BlobSources, Wish } from './blob-sources.ts';
import { readOn } from './read-on.ts';
import type { SmallContent } from './small-content.ts';

export interface BlobAccessParts {
  readonly verdicts: Pick<Verdicts, 'check' | 'heed' | 'revoke'>;
  readonly known: KnownFacts;
  readonly store: { stat(digest: Digest): { readonly size: number } | undefined };
  readonly origins: { fetch(request: UpstreamRequest, signal: AbortSignal): Promise<OriginAnswer> };
  readonly sources: BlobSources;
  readonly small: SmallContent;
}

type Positive = Extract<Verdict, { outcome: 'positive' }>;
type SwarmAnswer = Extract<OriginAnswer, { kind: 'swarm' }>;

/**
 * From a caller's wish to the bytes it may read (design, "The way of a pull" and "Rights"): the caller's right and the
 * content are sought side by side, and nothing goes out before both are there.
 */
export class BlobAccess {
  readonly #parts: BlobAccessParts;

  constructor(parts: BlobAccessParts) {
    this.#parts = parts;
  }

  /** Throws only what is not foreseen, or the signal's reason. */
  async get(caller: Caller, digest: Digest, signal: AbortSignal): Promise<Access> {
    const wish = { caller, digest, signal };
    const access = await this.#find(wish);
    if (access.kind !== 'granted') return access;
    const again = (): Promise<Access> => this.#find(wish);
    return { ...access, open: (range, reading, count) => readOn({ access, again }, range, reading, count) };
  }

  #find(wish: Wish): Promise<Access> {
    this.#parts.known.settle(wish.digest);
    return this.#known(wish).then((access) => access ?? this.#sought(wish));
  }

  /** The blob's size for a caller who may read it, as upstream says or, when it is down, as we know. */
  async size(
    caller: Caller,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<{ kind: 'size'; size: number } | Denied> {
    const { verdicts, store } = this.#parts;
    const held = this.#isOurs(caller, digest) ? store.stat(digest)?.size : undefined;
    const resource = { kind: 'blob', digest } as const;
    const verdict = await verdicts.check(caller, { resource, always: held === undefined }, signal);
    if (verdict.outcome !== 'positive') return deniedBy(verdict);
    const size = verdict.by === 'upstream' ? verdict.told.size : held;
    if (size !== undefined) return { kind: 'size', size };
    const access = await this.get(caller, digest, signal);
    if (access.kind !== 'granted') return access;
    await using granted = access;
    return { kind: 'size', size: granted.size };
  }

  /** Content that the caller's registry is known to have delivered under this repository, held or on its way. */
  async #known(wish: Wish): Promise<Access | undefined> {
    const { caller, digest, signal } = wish;
    const { verdicts, store, sources, known } = this.#parts;
    const { registry, repository } = caller;
    const held = known.isDelivered(digest, registry) && store.stat(digest) !== undefined;
    if (!known.isMember(digest, registry, repository)) return undefined;
    if (!held && !sources.isRunning(digest, registry)) return undefined;
    const verdict = await verdicts.check(caller, { resource: { kind: 'blob', digest } }, signal);
    if (verdict.outcome !== 'positive') return deniedBy(verdict);
    known.settle(digest);
    return (held ? await sources.stored(digest) : undefined) ?? sources.running(wish);
  }

  async #sought(wish: Wish): Promise<Access> {
    const { caller, digest, signal } = wish;
    const resource = { kind: 'blob', digest } as const;
    const { verdicts, origins } = this.#parts;
    const abandoned = new AbortController();
    const asking = origins.fetch({ caller, resource }, AbortSignal.any([signal, abandoned.signal]));
    asking.catch(() => {});
    const own = await verdicts.check(caller, { resource }, signal);
    if (own.outcome === 'refused') {
      abandoned.abort();
      return deniedBy(own);
    }
    const answer = await asking;
    const verdict = verdicts.heed(caller, own, answer);
    return verdict.outcome === 'positive' ? this.#byOrigin(wish, verdict, answer) : deniedBy(verdict);
  }

  async #byOrigin(wish: Wish, verdict: Positive, answer: OriginAnswer): Promise<Access> {
    const { verdicts, small } = this.#parts;
    const { caller, digest } = wish;
    switch (answer.kind) {
      case 'content':
        return small.take(caller, digest, answer.bytes, { mediaType: answer.mediaType, source: 'origin' });
      case 'swarm':
        return this.#bySwarm(wish, answer);
      case 'refused':
        // Our own question was just answered with yes: another way may be open to us than to the origin.
        if (verdict.by === 'upstream') return this.#withoutOrigin(wish, verdict);
        verdicts.revoke(caller, answer.refusal);
        return answer;
      default:
        return this.#withoutOrigin(wish, verdict);
    }
  }

  /**
   * The origin says that the digest is in the repository and, with scope `verified`, that the registry has what was
   * verified. Another scope says nothing of bytes that came from elsewhere: only those that the registry delivers count.
   */
  async #bySwarm(wish: Wish, { size, scope, peer }: SwarmAnswer): Promise<Access> {
    const { known, sources } = this.#parts;
    const { caller, digest } = wish;
    const { registry, repository } = caller;
    if (scope === VERIFIED) known.learnDelivered(digest, registry, repository, { size });
    else known.learnMember(digest, registry, repository);
    const origin = { peer, scope };
    if (known.isDelivered(digest, registry))
      return (await sources.stored(digest)) ?? sources.torrent(wish, { size, trust: 'proved', origin });
    return (
      (await sources.storedIfProved(wish, size)) ?? sources.torrent(wish, { size, trust: 'registry', origin })
    );
  }

  /** No origin helps: what is held has to be proved to be the registry's too, what is not is sought among peers and upstream. */
  async #withoutOrigin(wish: Wish, verdict: Positive): Promise<Access> {
    const { known, small, sources } = this.#parts;
    const { caller, digest, signal } = wish;
    const size =
      (this.#isOurs(caller, digest) ? known.size(digest) : undefined) ??
      (await this.#toldSize(wish, verdict));
    if (typeof size !== 'number') return size;
    known.learnMember(digest, caller.registry, caller.repository);
    const delivered = known.isDelivered(digest, caller.registry);
    const stored = delivered ? await sources.stored(digest) : undefined;
    if (stored !== undefined) return stored;
    if (size <= SMALL_BYTES)
      return small.fetch({ caller, resource: { kind: 'blob', digest } }, digest, signal);
    const proved = delivered ? undefined : await sources.storedIfProved(wish, size);
    return proved ?? sources.torrent(wish, { size, trust: delivered ? 'proved' : 'unproved' });
  }

  /** What upstream says of this very blob: that it is in the repository, and its size. */
  async #toldSize({ caller, digest, signal }: Wish, verdict: Positive): Promise<number | Denied> {
    if (verdict.by === 'upstream' && verdict.told.size !== undefined) return verdict.told.size;
    if (verdict.by === 'stale') return { kind: 'unavailable', cause: verdict.cause };
    const resource = { kind: 'blob', digest } as const;
    const asked = await this.#parts.verdicts.check(caller, { resource, always: true }, signal);
    if (asked.outcome !== 'positive') return deniedBy(asked);
    const size = asked.by === 'upstream' ? asked.told.size : undefined;
    if (size !== undefined) return size;
    const cause =
      asked.by === 'stale' ? asked.cause : new Error('upstream does not tell the size of the blob');
    return { kind: 'unavailable', cause };
  }

  #isOurs({ registry, repository }: Caller, digest: Digest): boolean {
    const { known } = this.#parts;
    return known.isMember(digest, registry, repository) && known.isDelivered(digest, registry);
  }
}

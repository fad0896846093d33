import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Upstream } from '#registry/upstream.ts';
import { resultError, type Target } from '#registry/upstream-answer.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';
import { isSelfTest } from '#registry/self-test.ts';
import type { UpstreamPolicy } from '#registry/upstream-policy.ts';
import { formatPlatform } from '#registry/platform.ts';
import type { AnonymousRepositories } from '#origin/anonymous.ts';
import type { Answer } from '#origin/answer.ts';
import type { Blobs } from '#origin/blobs.ts';
import { type Caller, fullName, inNameOf } from '#origin/caller.ts';
import { contentAfter } from '#origin/look-ahead.ts';
import type { Manifests } from '#origin/manifests.ts';
import type { Handed, Ownership, Relayed } from '#origin/ownership.ts';
import { type OriginRequest, parseOriginRequest } from './request.ts';
import { AheadError, OriginBusyError } from '#origin/errors.ts';
import { signalOf } from './signal.ts';

export interface ContentParts {
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly ownership: Ownership;
  readonly anonymous: AnonymousRepositories;
  readonly policy: UpstreamPolicy;
  readonly upstream: Pick<Upstream, 'tags' | 'referrers'>;
  /** Where peers reach this origin, for a request that came to that local address. */
  readonly peer: (localAddress: string | undefined) => { readonly host: string; readonly port: number };
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

const SWARM_TYPE = 'application/vnd.shoal.swarm.v1+json';

type ManifestRequest = Extract<OriginRequest, { kind: 'manifest' }>;
type BlobRequest = Extract<OriginRequest, { kind: 'blob' }>;
/** One that follows from another answer, not from a request of its own. */
type FollowingRequest = Omit<ManifestRequest, 'isForwarded'> | Omit<BlobRequest, 'isForwarded'>;
type ContentRequest = ManifestRequest | BlobRequest;
type ListRequest = Extract<OriginRequest, { kind: 'referrers' | 'tags' }>;

type Own = Exclude<Answer, { kind: 'elsewhere' | 'named' }>;

/** `/v2/…`: manifests and small blobs as bytes, large blobs as the swarm that they come by. */
export function addContentRoutes(app: FastifyInstance, parts: ContentParts): void {
  const routes = new ContentRoutes(parts);
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v2/*',
    handler: (request, reply) => routes.answer(request, reply),
  });
}

class ContentRoutes {
  readonly #parts: ContentParts;

  constructor(parts: ContentParts) {
    this.#parts = parts;
  }

  async answer(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { policy, life } = this.#parts;
    const asked = parseOriginRequest(request.raw.url ?? '', request.headers);
    if (!isSelfTest(asked.caller)) policy.check(asked.caller.registry);
    this.#tellAnonymous(asked.caller, reply);
    const signal = signalOf(reply, life);
    if (asked.kind === 'referrers' || asked.kind === 'tags') return this.#list(asked, reply, signal);
    if (request.method === 'HEAD' && asked.kind === 'manifest') return this.#noteTag(asked, reply, signal);
    const handed = handedOn(request.raw.url ?? '', asked);
    const found = await this.#find(asked, handed, signal).catch((error: unknown) => {
      if (error instanceof UpstreamRefusedError && error.status !== 404)
        this.#parts.anonymous.refused(asked.caller, resourceOf(asked));
      throw error;
    });
    return 'status' in found ? relay(reply, found) : this.#tell(asked, found, request, reply);
  }

  /** HEAD of a manifest: what its tag stands for, which is known from then on. */
  async #noteTag(asked: ManifestRequest, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
    const digest = await this.#parts.manifests.resolve(asked.caller, asked.reference, asked.accept, signal);
    return reply.header('docker-content-digest', digest).send();
  }

  /** Another origin's answer, or this one's own. */
  async #find(asked: ContentRequest, handed: Handed, signal: AbortSignal): Promise<Relayed | Own> {
    const relayed = await this.#byOwner(asked, handed, signal);
    if (relayed) return relayed;
    const answer = await this.#ask(asked, signal);
    if (answer.kind === 'named') return this.#findNamed(asked, answer, signal);
    if (answer.kind !== 'elsewhere') {
      if (asked.kind === 'manifest' && answer.positive && answer.kind === 'bytes')
        this.#lookAhead(asked, answer.bytes);
      return answer;
    }
    const byReader = await this.#parts.ownership.forward(answer.member, handed, signal);
    if (byReader) return byReader;
    throw new OriginBusyError(`${answer.member} was reading the blob and is lost`);
  }

  /** The digest behind a tag may be another origin's: what that one holds is not read again, nor wanting while upstream is gone. */
  async #findNamed(
    { caller, ...asked }: ContentRequest,
    { digest, positive }: Extract<Answer, { kind: 'named' }>,
    signal: AbortSignal,
  ): Promise<Relayed | Own> {
    const { accept, platform } = asked.kind === 'manifest' ? asked : {};
    const who = { ...caller, positive: caller.positive || positive };
    const found = await this.#findFollowing(
      { kind: 'manifest', caller: who, reference: digest, accept, platform },
      signal,
    );
    return 'status' in found ? found : { ...found, positive: found.positive || positive };
  }

  /** Upstream has just given a manifest: what comes next is asked for in the same name before a runtime does. */
  #lookAhead({ caller, accept, platform }: ManifestRequest, manifest: Buffer): void {
    for (const next of contentAfter(manifest, platform)) {
      const asked: FollowingRequest =
        next.kind === 'blob'
          ? { ...next, caller }
          : // Without a platform: an index within an index is looked at by nobody before it is asked for.
            { kind: 'manifest', caller, reference: next.digest, accept, platform: undefined };
      // Whoever asks for it hears what is wrong.
      this.#findFollowing(asked, this.#parts.life).catch(() => {});
    }
  }

  #findFollowing(following: FollowingRequest, signal: AbortSignal): Promise<Relayed | Own> {
    const asked = { ...following, isForwarded: false };
    return this.#find(asked, handedOn(pathOf(asked), asked), signal);
  }

  /** By who answers before this one, if one of them can be reached. */
  async #byOwner(asked: ContentRequest, handed: Handed, signal: AbortSignal): Promise<Relayed | undefined> {
    if (asked.isForwarded || this.#isKnown(asked)) return undefined;
    const { ownership } = this.#parts;
    for (const member of ownership.before(keyOf(asked))) {
      const relayed = await ownership.forward(member, handed, signal);
      if (relayed) return relayed;
    }
    return undefined;
  }

  #tell(asked: ContentRequest, answer: Own, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#parts.anonymous.served(asked.caller, resourceOf(asked), answer.positive);
    this.#tellAnonymous(asked.caller, reply);
    if (answer.positive) reply.header('shoal-verdict', 'positive');
    reply.header('docker-content-digest', answer.digest);
    if (answer.kind === 'bytes')
      return reply.type(answer.mediaType ?? 'application/octet-stream').send(answer.bytes);
    const { digest, size, scope, hasGaps } = answer;
    const peer = this.#parts.peer(request.socket.localAddress);
    const gaps = hasGaps === true ? { hasGaps } : {};
    return reply.type(SWARM_TYPE).send(JSON.stringify({ digest, size, scope, peer, ...gaps }));
  }

  async #ask(asked: ContentRequest, signal: AbortSignal): Promise<Answer> {
    const { blobs, manifests, ownership } = this.#parts;
    if (asked.kind === 'manifest') return manifests.get(asked.caller, asked.reference, asked.accept, signal);
    const { caller, digest, ahead } = asked;
    const isTakeOver = !ownership.isOwner(digest);
    if (ahead === undefined) return blobs.get({ caller, digest }, isTakeOver, signal);
    // What a lost owner has read may be with the swarm.
    if (!isTakeOver) blobs.prepare(caller, digest, ahead);
    throw new AheadError(`nobody has asked for ${digest}`);
  }

  #isKnown(asked: ContentRequest): boolean {
    const { blobs, manifests } = this.#parts;
    return asked.kind === 'blob'
      ? blobs.isKnown(asked.caller, asked.digest)
      : manifests.isKnown(asked.caller, asked.reference, asked.accept);
  }

  async #list(asked: ListRequest, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
    const { upstream } = this.#parts;
    const { caller, query } = asked;
    const result =
      asked.kind === 'tags'
        ? await upstream.tags(caller, inNameOf(caller), signal, query)
        : await upstream.referrers(caller, asked.digest, inNameOf(caller), signal, query);
    if (!result.ok) throw resultError(caller.registry, result);
    const filters = result.headers['oci-filters-applied'];
    if (result.link !== undefined) reply.header('link', result.link);
    if (filters !== undefined) reply.header('oci-filters-applied', filters);
    return reply
      .header('shoal-verdict', 'positive')
      .type(result.mediaType ?? 'application/json')
      .send(result.body);
  }

  #tellAnonymous(caller: Caller, reply: FastifyReply): void {
    const since = this.#parts.anonymous.since(caller);
    if (since !== undefined) reply.header('shoal-anonymous', String(since));
  }
}

function resourceOf(asked: ContentRequest): Pick<Target, 'kind' | 'reference'> {
  return { kind: asked.kind, reference: asked.kind === 'blob' ? asked.digest : asked.reference };
}

/** What the ring is asked for; agents ask it for the same. */
function keyOf(asked: ContentRequest): string {
  if (asked.kind === 'blob') return asked.digest;
  const { caller, reference } = asked;
  return reference.includes(':') ? reference : `${fullName(caller)}:${reference}`;
}

function pathOf(asked: ContentRequest): string {
  const { registry, repository } = asked.caller;
  const { kind, reference } = resourceOf(asked);
  return `/v2/${repository}/${kind}s/${reference}?ns=${encodeURIComponent(registry)}`;
}

function handedOn(path: string, { caller, ...asked }: ContentRequest): Handed {
  const { accept, platform } = asked.kind === 'manifest' ? asked : {};
  return {
    path,
    headers: {
      ...(caller.authorization !== undefined && { 'shoal-authorization': caller.authorization }),
      ...(caller.positive && { 'shoal-verdict': 'positive' }),
      ...(accept !== undefined && { accept }),
      ...(platform !== undefined && { 'shoal-platform': formatPlatform(platform) }),
      ...(asked.kind === 'blob' && asked.ahead !== undefined && { 'shoal-ahead': String(asked.ahead) }),
    },
  };
}

function relay(reply: FastifyReply, { status, headers, body }: Relayed): FastifyReply {
  return reply.code(status).headers(headers).send(body);
}

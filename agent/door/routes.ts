import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isDigest } from '#registry/digest.ts';
import { OciError, unauthorized } from '#registry/oci-error.ts';
import { isSelfTest } from '#registry/self-test.ts';
import type { UpstreamPolicy } from '#registry/upstream-policy.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { Admission } from './admission.ts';
import { REGISTRY_HEADERS } from './answer.ts';
import { answerBlob, answerBlobHead } from './blobs.ts';
import { ClientGoneError } from './body.ts';
import { answerListing } from './listing.ts';
import { answerManifest, answerManifestHead } from './manifests.ts';
import type { DoorTokens } from './door-tokens.ts';
import type { Accesses } from './on-behalf.ts';
import { type DoorRequest, parseDoorRequest } from './request.ts';
import type { RecentSources } from './sources.ts';
import type { OwnDoor } from './own-door.ts';
import { answerToken, doorChallenge, TOKEN_PATH } from './token-endpoint.ts';

export interface DoorParts extends Accesses {
  readonly admission: Admission;
  readonly tokens: DoorTokens;
  readonly logins: UpstreamPolicy | undefined;
  /** `host:port` of the door. */
  readonly door: () => string;
  readonly policy: UpstreamPolicy;
  readonly ownDoor: OwnDoor;
  readonly recent: RecentSources;
  readonly events: Pick<AgentEvents, 'pulled' | 'tokenIssued'>;
  readonly now: () => number;
}

/** The door's routes: a registry for pulling (OCI distribution specification 1.1), and where the bytes of a digest came from. */
export function addDoorRoutes(app: FastifyInstance, parts: DoorParts): void {
  // Nothing is taken in: a body is let pass, so that its sender hears that the mirror only reads.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume();
    done(null);
  });
  const method = ['GET', 'HEAD'];
  app.addHook('onRequest', ({ headers: { authorization } }, _reply, done) => {
    parts.admission.count(authorization);
    done();
  });
  for (const url of ['/v2/', '/v2'])
    app.route({ method, url, handler: (request, reply) => answerBase(parts, request, reply) });
  app.route({ method, url: TOKEN_PATH, handler: (request, reply) => answerToken(parts, request, reply) });
  app.route({
    method,
    url: '/v2/*',
    handler: async (request, reply) => {
      using _running = parts.admission.enter();
      await answer(parts, request, reply);
      return reply;
    },
  });
  app.route<{ Params: { digest: string } }>({
    method,
    url: '/shoal/v1/sources/:digest',
    handler: ({ params: { digest } }, reply) => {
      if (!isDigest(digest)) throw new OciError('DIGEST_INVALID', 'the path has to end in a digest');
      return reply.send(parts.recent.get(digest) ?? { cache: 0, peer: 0, origin: 0, upstream: 0 });
    },
  });
  app.all('/*', (request) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead) throw new OciError('UNSUPPORTED', 'the mirror has no such endpoint', { status: 404 });
    throw new OciError('UNSUPPORTED', 'the mirror only reads: GET and HEAD', {
      headers: { allow: 'GET, HEAD' },
    });
  });
}

/** Clients that take a challenge from here alone get one; it leads to the door's own token endpoint and costs no request upstream. */
function answerBase(
  { tokens, door }: DoorParts,
  { headers: { authorization } }: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { kind } = tokens.holder(authorization);
  if (kind === 'foreign' || kind === 'unknown')
    throw unauthorized([doorChallenge(door())], 'a token is needed');
  return reply.headers(REGISTRY_HEADERS).send({});
}

async function answer(parts: DoorParts, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const asked = parseDoorRequest(request.raw.url ?? '', request.headers.authorization);
  if (!isSelfTest(asked.caller)) parts.policy.check(asked.caller.registry);
  await parts.ownDoor.check(asked.caller.registry);
  try {
    if (asked.kind === 'list') await answerListing(parts, asked, reply);
    else await answerContent(parts, asked, request, reply);
  } catch (error) {
    // Nobody is there to be told.
    if (!(error instanceof ClientGoneError)) throw error;
    reply.hijack();
    reply.raw.destroy();
  }
}

async function answerContent(
  { blobs, manifests, recent, events, now }: DoorParts,
  { caller, resource }: Extract<DoorRequest, { kind: 'content' }>,
  { method, headers: { accept, range } }: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const isHead = method === 'HEAD';
  if (resource.kind === 'blob') {
    const answerIt = isHead ? answerBlobHead : answerBlob;
    return answerIt(
      { access: blobs, recent, events, now },
      { caller, digest: resource.digest, range },
      reply,
    );
  }
  const answerIt = isHead ? answerManifestHead : answerManifest;
  return answerIt(
    { access: manifests, recent, events, now },
    { caller, reference: resource.reference, accept },
    reply,
  );
}

import { asError } from '#registry/as-error.ts';
import type { FastifyReply } from 'fastify';
import type { AgentEvents } from '#agent/events.ts';
import type { Denied } from '#agent/pull/access.ts';
import type { Manifest, ManifestAccess } from '#agent/pull/manifest-access.ts';
import type { Caller } from '#agent/upstream.ts';
import { REGISTRY_HEADERS, sendDenied } from './answer.ts';
import { clientSignal } from './body.ts';
import { PullMeter } from './pull-meter.ts';
import type { RecentSources } from './sources.ts';

export interface ManifestDoorParts {
  readonly access: Pick<ManifestAccess, 'get' | 'head'>;
  readonly events: Pick<AgentEvents, 'pulled'>;
  readonly recent: RecentSources;
  readonly now: () => number;
}

export interface ManifestRequest {
  readonly caller: Caller;
  readonly reference: string;
  /** Accept header. */
  readonly accept: string | undefined;
}

/** HEAD of a manifest (OCI distribution specification 1.1, end-3). */
export async function answerManifestHead(
  parts: ManifestDoorParts,
  request: ManifestRequest,
  reply: FastifyReply,
): Promise<void> {
  const answer = await parts.access.head({ ...request, signal: clientSignal(reply.raw) });
  if (answer.kind !== 'head') return void sendDenied(reply, answer, request.caller.registry);
  void reply.code(200).headers(manifestHeaders(answer, answer.size)).send();
}

/** GET of a manifest. */
export async function answerManifest(
  parts: ManifestDoorParts,
  request: ManifestRequest,
  reply: FastifyReply,
): Promise<void> {
  const { caller, reference } = request;
  const meter = new PullMeter({ kind: 'manifest', caller, reference }, parts);
  let answer: Manifest | Denied;
  try {
    answer = await parts.access.get({ ...request, signal: clientSignal(reply.raw) });
  } catch (error) {
    meter.failed(0, asError(error));
    throw error;
  }
  if (answer.kind !== 'manifest') {
    meter.denied(answer);
    return void sendDenied(reply, answer, caller.registry);
  }
  const { bytes, digest, source } = answer;
  meter.count(source, bytes.length);
  parts.recent.add(digest, source, bytes.length);
  meter.firstByte();
  void reply.code(200).headers(manifestHeaders(answer, bytes.length)).send(bytes);
  meter.complete(200);
}

function manifestHeaders(
  { digest, mediaType }: { digest: string; mediaType: string },
  size: number,
): Record<string, string> {
  return {
    ...REGISTRY_HEADERS,
    'docker-content-digest': digest,
    'content-type': mediaType,
    'content-length': String(size),
  };
}

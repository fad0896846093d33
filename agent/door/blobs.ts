import { asError } from '#registry/as-error.ts';
import type { FastifyReply } from 'fastify';
import type { Digest } from '#registry/digest.ts';
import { OciError } from '#registry/oci-error.ts';
import { formatContentRange, parseRange } from '#registry/range.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { Access, Granted } from '#agent/pull/access.ts';
import type { BlobAccess } from '#agent/pull/blob-access.ts';
import type { CountBytes } from '#agent/pull/swarm.ts';
import { CallerRefusedError } from '#agent/pull/running-pull.ts';
import type { Caller } from '#agent/upstream.ts';
import { causeOf, REGISTRY_HEADERS, sendDenied } from './answer.ts';
import { clientSignal, sendBody } from './body.ts';
import { PullMeter } from './pull-meter.ts';
import type { RecentSources } from './sources.ts';

export interface BlobDoorParts {
  readonly access: Pick<BlobAccess, 'get' | 'size'>;
  readonly events: Pick<AgentEvents, 'pulled'>;
  readonly recent: RecentSources;
  readonly now: () => number;
}

export interface BlobRequest {
  readonly caller: Caller;
  readonly digest: Digest;
  /** Range header. */
  readonly range: string | undefined;
}

/** HEAD of a blob (OCI distribution specification 1.1, end-2). */
export async function answerBlobHead(
  { access }: BlobDoorParts,
  { caller, digest }: BlobRequest,
  reply: FastifyReply,
): Promise<void> {
  const answer = await access.size(caller, digest, clientSignal(reply.raw));
  if (answer.kind !== 'size') return void sendDenied(reply, answer, caller.registry);
  void reply
    .code(200)
    .headers({ ...blobHeaders(digest), 'content-length': String(answer.size) })
    .send();
}

/** GET of a blob, whole or one range of it, streamed as its pieces are verified. */
export async function answerBlob(
  parts: BlobDoorParts,
  request: BlobRequest,
  reply: FastifyReply,
): Promise<void> {
  const { caller, digest } = request;
  const meter = new PullMeter({ kind: 'blob', caller, reference: digest }, parts);
  const signal = clientSignal(reply.raw);
  let access: Access;
  try {
    access = await parts.access.get(caller, digest, signal);
  } catch (error) {
    meter.failed(0, asError(error));
    throw error;
  }
  if (access.kind !== 'granted') {
    meter.denied(access);
    return void sendDenied(reply, access, caller.registry);
  }
  await using granted = access;
  await stream(parts, request, { granted, meter, signal }, reply);
}

async function stream(
  { recent }: BlobDoorParts,
  { caller, digest, range }: BlobRequest,
  { granted, meter, signal }: { granted: Granted; meter: PullMeter; signal: AbortSignal },
  reply: FastifyReply,
): Promise<void> {
  const { size } = granted;
  const part = parseRange(range, size);
  if (part === 'unsatisfiable') {
    const headers = { 'content-range': formatContentRange({ kind: 'unsatisfied', size }) };
    throw new OciError('RANGE_INVALID', `the blob has ${size} bytes`, { headers });
  }
  const { start, end } = part === 'whole' ? { start: 0, end: size - 1 } : part;
  const status = part === 'whole' ? 200 : 206;
  const headers = {
    ...blobHeaders(digest),
    'content-length': String(end - start + 1),
    ...(part !== 'whole' && { 'content-range': formatContentRange({ kind: 'range', start, end, size }) }),
  };
  const count: CountBytes = (source, bytes) => {
    meter.count(source, bytes);
    recent.add(digest, source, bytes);
  };
  const begin = (): void => {
    meter.firstByte();
    reply.hijack();
    reply.raw.writeHead(status, headers);
  };
  try {
    await sendBody(reply.raw, granted.open({ start, end }, signal, count), signal, begin);
    meter.complete(status);
  } catch (error) {
    meter.failed(status, asError(error));
    if (reply.raw.headersSent || signal.aborted) return;
    // Upstream's word to this caller, where that is what ended the read.
    const refusal = causeOf(error, CallerRefusedError)?.refusal;
    if (refusal !== undefined) return void sendDenied(reply, { kind: 'refused', refusal }, caller.registry);
    sendDenied(reply, { kind: 'unavailable', cause: asError(error) }, caller.registry);
  }
}

function blobHeaders(digest: Digest): Record<string, string> {
  return {
    ...REGISTRY_HEADERS,
    'docker-content-digest': digest,
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
  };
}

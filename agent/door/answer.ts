import type { FastifyReply } from 'fastify';
import { OciError, ociErrorBody } from '#registry/oci-error.ts';
import { describeUpstreamFault } from '#registry/upstream-fault.ts';
import { causesOf } from '#registry/as-error.ts';
import type { ErrorAnswer } from '#service/http-error.ts';
import type { Denied } from '#agent/pull/access.ts';
import { WrongContentError } from '#agent/upstream.ts';

/** Headers that every answer of a registry has. */
export const REGISTRY_HEADERS = { 'docker-distribution-api-version': 'registry/2.0' } as const;

/** Tells a runtime why it gets nothing: upstream's refusal as upstream gave it; a 429 of upstream's is ours to bear and becomes a 503. */
export function sendDenied(reply: FastifyReply, denied: Denied, registry: string): FastifyReply {
  reply.headers(REGISTRY_HEADERS);
  if (denied.kind === 'refused') {
    const { status, challenges, body } = denied.refusal;
    if (challenges.length > 0) reply.header('www-authenticate', challenges);
    return reply.code(status).type('application/json').send(body);
  }
  const retryAfter = denied.kind === 'throttled' ? denied.retryAfter : undefined;
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter);
  const error =
    denied.kind === 'throttled'
      ? new OciError('UNAVAILABLE', `${registry} limits the rate of requests`)
      : unavailable(registry, denied.cause);
  return reply.code(503).send(ociErrorBody(error));
}

/**
 * Why content cannot be served now, told to who may read it. Bytes that contradict their digest have a code of their
 * own, so that a client need not try again what would fail again; the status stays 503, on which runtimes ask the registry itself.
 */
function unavailable(registry: string, cause: Error): OciError {
  const wrong = causeOf(cause, WrongContentError);
  const text = `neither ${registry} nor the cluster can serve this now`;
  if (wrong === undefined) return new OciError('UNAVAILABLE', withFault(text, cause));
  const message = `${registry} sends bytes whose digest is not ${wrong.digest}`;
  return new OciError('DIGEST_INVALID', message, { status: 503 });
}

/** The error, or the first among its causes, that is of the class. */
export function causeOf<E extends Error>(error: unknown, type: new (...given: never[]) => E): E | undefined {
  for (const cause of causesOf(error)) if (cause instanceof type) return cause;
  return undefined;
}

/** The text with the registry's fault behind it, where the error tells one; never with text that may hold a secret. */
export function withFault(text: string, error: unknown): string {
  const fault = describeUpstreamFault(error);
  return fault === undefined ? text : `${text}: ${fault}`;
}

/** The status a runtime sees for `denied`. */
export function statusOf(denied: Denied): number {
  return denied.kind === 'refused' ? denied.refusal.status : 503;
}

/** The door's own errors, for the one place where errors become answers. */
export function answerOciError(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof OciError)) return undefined;
  const headers: Record<string, string> = { ...REGISTRY_HEADERS };
  for (const [name, value] of Object.entries(error.headers ?? {})) headers[name] = [value].flat().join(', ');
  return { status: error.status, headers, body: ociErrorBody(error) };
}

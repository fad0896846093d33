import type { FastifyReply } from 'fastify';
import type { Upstream } from '#agent/upstream.ts';
import { deniedByFailure } from '#agent/pull/access.ts';
import { REGISTRY_HEADERS, sendDenied } from './answer.ts';
import { clientSignal } from './body.ts';
import type { DoorRequest } from './request.ts';

export type ListingRequest = Extract<DoorRequest, { kind: 'list' }>;

/** Tags and referrers, passed through: upstream is asked with the caller's own credential, so its rights are the answer. */
export async function answerListing(
  { upstream }: { readonly upstream: Pick<Upstream, 'list'> },
  request: ListingRequest,
  reply: FastifyReply,
): Promise<void> {
  const answer = await upstream.list(request, clientSignal(reply.raw));
  if (answer.kind !== 'ok') return void sendDenied(reply, deniedByFailure(answer), request.caller.registry);
  const { mediaType = 'application/json', link, filters, body } = answer;
  const next = link === undefined ? undefined : nextPage(link, request);
  if (next !== undefined) reply.header('link', next);
  if (filters !== undefined) reply.header('oci-filters-applied', filters);
  void reply
    .code(200)
    .headers({ ...REGISTRY_HEADERS, 'content-type': mediaType })
    .send(Buffer.from(body));
}

/** The link to the next page, leading back through the door: of upstream's only the query is taken. */
function nextPage(link: string, { path, ns }: Pick<ListingRequest, 'path' | 'ns'>): string | undefined {
  const target = /^\s*<(?<target>[^<>]*)>\s*;[^,]*\brel="?next"?/iu.exec(link)?.groups?.['target'];
  const url = target === undefined ? null : URL.parse(target, 'http://upstream.invalid');
  if (url === null) return undefined;
  const query = new URLSearchParams(url.search);
  query.delete('ns');
  if (ns !== undefined) query.set('ns', ns);
  return `<${path}?${query.toString()}>; rel="next"`;
}

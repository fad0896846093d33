import type { IncomingHttpHeaders } from 'node:http';
import type { Digest } from '#registry/digest.ts';
import { orInvalid, parseEndpoint, readDigest, readReference } from '#registry/endpoint.ts';
import { OciError } from '#registry/oci-error.ts';
import { parsePlatform, type Platform } from '#registry/platform.ts';
import { parseRegistryHost, parseRepository } from '#registry/reference.ts';
import type { Caller } from '#origin/caller.ts';

/** What an agent, or another origin in its place, asks below `/v2/`. */
export type OriginRequest = {
  readonly caller: Caller;
  /** Another origin has handed it on: it goes no further. */
  readonly isForwarded: boolean;
} & (
  | {
      readonly kind: 'manifest';
      readonly reference: string;
      readonly accept: string | undefined;
      /** Of the agent's node, where it told. */
      readonly platform: Platform | undefined;
    }
  | {
      readonly kind: 'blob';
      readonly digest: Digest;
      /** An origin asks for it before anybody does, and was told of so many bytes. */
      readonly ahead?: number;
    }
  | { readonly kind: 'referrers'; readonly digest: Digest; readonly query: string }
  | { readonly kind: 'tags'; readonly query: string }
);

const ACCEPT_LIMIT = 4096;

/**
 * Reads `/v2/<name>/manifests|blobs|referrers/<reference>?ns=<registry>` or `/v2/<name>/tags/list?ns=`, the caller's
 * Authorization in `Shoal-Authorization`, the platform of the agent's node in
 * `Shoal-Platform`; `Shoal-Ahead` with what nobody has asked for yet.
 * @throws OciError 400 or 404
 */
export function parseOriginRequest(target: string, headers: IncomingHttpHeaders): OriginRequest {
  const at = target.indexOf('?');
  const query = new URLSearchParams(at === -1 ? '' : target.slice(at + 1));
  const endpoint = parseEndpoint(at === -1 ? target : target.slice(0, at));
  if (endpoint === undefined)
    throw new OciError('UNSUPPORTED', 'an origin has no such endpoint', { status: 404 });
  const caller = parseCaller(endpoint.name, query.get('ns'), headers);
  query.delete('ns');
  const common = { caller, isForwarded: headers['shoal-forwarded'] !== undefined };
  const rest = query.toString();
  switch (endpoint.kind) {
    case 'manifests':
      return {
        ...common,
        kind: 'manifest',
        reference: readReference(endpoint.reference),
        accept: readAccept(headers),
        platform: parsePlatform(single(headers['shoal-platform']) ?? ''),
      };
    case 'blobs':
      return {
        ...common,
        kind: 'blob',
        digest: readDigest(endpoint.reference),
        ...readAhead(headers),
      };
    case 'referrers':
      return { ...common, kind: 'referrers', digest: readDigest(endpoint.reference), query: rest };
    default:
      return { ...common, kind: 'tags', query: rest };
  }
}

/** @throws OciError NAME_INVALID */
export function parseRepositoryName(
  registry: string | null,
  repository: string,
): Pick<Caller, 'registry' | 'repository'> {
  if (registry === null || registry === '')
    throw new OciError('NAME_INVALID', 'the registry is not named: ?ns=<registry> is expected');
  return orInvalid('NAME_INVALID', () => ({
    registry: parseRegistryHost(registry),
    repository: parseRepository(repository),
  }));
}

function parseCaller(name: string, registry: string | null, headers: IncomingHttpHeaders): Caller {
  const authorization = single(headers['shoal-authorization']);
  return {
    ...parseRepositoryName(registry, name),
    ...(authorization !== undefined && { authorization }),
    positive: single(headers['shoal-verdict']) === 'positive',
  };
}

function readAccept({ accept }: IncomingHttpHeaders): string | undefined {
  if (accept === undefined || accept.length <= ACCEPT_LIMIT) return accept;
  throw new OciError('UNSUPPORTED', `the Accept header has more than ${ACCEPT_LIMIT} characters`, {
    status: 400,
  });
}

/** @throws OciError 400 */
function readAhead(headers: IncomingHttpHeaders): { ahead?: number } {
  const value = single(headers['shoal-ahead']);
  if (value === undefined) return {};
  if (/^\d{1,15}$/.test(value)) return { ahead: Number(value) };
  throw new OciError('SIZE_INVALID', 'Shoal-Ahead is not a number of bytes', { status: 400 });
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

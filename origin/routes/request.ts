import type { IncomingHttpHeaders } from 'node:http';
import { DigestError, parseDigest, type Digest } from '#registry/digest.ts';
import { OciError } from '#registry/oci-error.ts';
import { parseRegistryHost, parseRepository, parseTag, ReferenceError } from '#registry/reference.ts';
import type { Caller } from '#origin/caller.ts';

/** What an agent, or another origin in its place, asks below `/v2/`. */
export type OriginRequest = {
  readonly caller: Caller;
  /** Another origin has handed it on: it goes no further. */
  readonly isForwarded: boolean;
} & (
  | { readonly kind: 'manifest'; readonly reference: string; readonly accept: string | undefined }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'referrers'; readonly digest: Digest; readonly query: string }
  | { readonly kind: 'tags'; readonly query: string }
);

const PATH =
  /^\/v2\/(?<name>.+)\/(?:(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+)|(?<tags>tags\/list))$/u;
const ACCEPT_LIMIT = 4096;

/**
 * Reads `/v2/<name>/manifests|blobs|referrers/<reference>?ns=<registry>` or `/v2/<name>/tags/list?ns=`, the caller's
 * Authorization in `Shoal-Authorization`.
 * @throws OciError 400 or 404
 */
export function parseOriginRequest(target: string, headers: IncomingHttpHeaders): OriginRequest {
  const at = target.indexOf('?');
  const query = new URLSearchParams(at === -1 ? '' : target.slice(at + 1));
  const { name, kind, reference } = PATH.exec(decode(at === -1 ? target : target.slice(0, at)))?.groups ?? {};
  if (name === undefined)
    throw new OciError('UNSUPPORTED', 'an origin has no such endpoint', { status: 404 });
  const caller = parseCaller(name, query.get('ns'), headers);
  query.delete('ns');
  const common = { caller, isForwarded: headers['shoal-forwarded'] !== undefined };
  const rest = query.toString();
  if (kind === 'manifests')
    return { ...common, kind: 'manifest', reference: readReference(reference!), accept: readAccept(headers) };
  if (kind === 'blobs') return { ...common, kind: 'blob', digest: readDigest(reference!) };
  if (kind === 'referrers') return { ...common, kind, digest: readDigest(reference!), query: rest };
  return { ...common, kind: 'tags', query: rest };
}

/** @throws OciError NAME_INVALID */
export function parseRepositoryName(
  registry: string | null,
  repository: string,
): Pick<Caller, 'registry' | 'repository'> {
  if (registry === null || registry === '')
    throw new OciError('NAME_INVALID', 'the registry is not named: ?ns=<registry> is expected');
  try {
    return { registry: parseRegistryHost(registry), repository: parseRepository(repository) };
  } catch (error) {
    throw invalid(error, 'NAME_INVALID');
  }
}

/** @throws OciError DIGEST_INVALID */
export function readDigest(text: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw invalid(error, 'DIGEST_INVALID');
  }
}

function parseCaller(name: string, registry: string | null, headers: IncomingHttpHeaders): Caller {
  const authorization = single(headers['shoal-authorization']);
  return {
    ...parseRepositoryName(registry, name),
    ...(authorization !== undefined && { authorization }),
    positive: single(headers['shoal-verdict']) === 'positive',
  };
}

function readReference(text: string): string {
  if (text.includes(':')) return readDigest(text);
  try {
    return parseTag(text);
  } catch (error) {
    throw invalid(error, 'TAG_INVALID');
  }
}

function readAccept({ accept }: IncomingHttpHeaders): string | undefined {
  if (accept === undefined || accept.length <= ACCEPT_LIMIT) return accept;
  throw new OciError('UNSUPPORTED', `the Accept header has more than ${ACCEPT_LIMIT} characters`, {
    status: 400,
  });
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

function invalid(error: unknown, code: 'NAME_INVALID' | 'TAG_INVALID' | 'DIGEST_INVALID'): unknown {
  if (!(error instanceof ReferenceError || error instanceof DigestError)) return error;
  return new OciError(code, error.message, { cause: error });
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new OciError('NAME_INVALID', 'the path is not percent-encoded UTF-8', { cause });
  }
}

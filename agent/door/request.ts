import type { Caller, Content, List } from '#agent/upstream.ts';
import { DigestError, parseDigest } from '#registry/digest.ts';
import { OciError } from '#registry/oci-error.ts';
import {
  DEFAULT_REGISTRY,
  namesRegistry,
  parseRegistryHost,
  parseRepository,
  parseTag,
  ReferenceError,
} from '#registry/reference.ts';

/** What a runtime asks the door for. */
export type DoorRequest =
  | { readonly kind: 'content'; readonly caller: Caller; readonly resource: Content }
  | {
      readonly kind: 'list';
      readonly caller: Caller;
      readonly resource: List;
      /** Less `ns`, without the question mark. */
      readonly query: string;
      /** The path as it was asked and the `ns` in it, for the link to the next page. */
      readonly path: string;
      readonly ns: string | undefined;
    };

const PATH =
  /^\/v2\/(?<name>.+)\/(?:(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+)|(?<tags>tags\/list))$/u;

/**
 * Reads a request target below `/v2/`, as containerd (`?ns=<registry>`), docker, podman, CRI-O and skopeo ask
 * (`/v2/<registry>/<repository>/…` or, for docker.io, `/v2/<repository>/…`).
 * @throws OciError 400 or 404
 */
export function parseDoorRequest(target: string, authorization: string | undefined): DoorRequest {
  const [encoded, search = ''] = splitOnce(target, '?');
  const path = decodePath(encoded);
  const query = new URLSearchParams(search);
  const ns = query.get('ns') ?? undefined;
  query.delete('ns');
  const { name, kind, reference } = PATH.exec(path)?.groups ?? {};
  if (name === undefined)
    throw new OciError('UNSUPPORTED', 'the mirror has no such endpoint', { status: 404 });
  const caller = { ...parseDoorName(name, ns), authorization };
  if (kind === 'manifests')
    return { kind: 'content', caller, resource: { kind: 'manifest', reference: readReference(reference!) } };
  if (kind === 'blobs')
    return { kind: 'content', caller, resource: { kind: 'blob', digest: readDigest(reference!) } };
  const resource: List = kind === 'referrers' ? { kind, digest: readDigest(reference!) } : { kind: 'tags' };
  return { kind: 'list', caller, resource, query: query.toString(), path: encoded, ns };
}

/** The registry by `ns`, else by a first part that looks like one, else docker.io. @throws OciError NAME_INVALID */
export function parseDoorName(name: string, ns?: string): { registry: string; repository: string } {
  try {
    if (ns !== undefined) return complete(parseRegistryHost(ns), name);
    const [first, rest] = splitOnce(name, '/');
    if (!namesRegistry(first)) return complete(DEFAULT_REGISTRY, name);
    return complete(parseRegistryHost(first), rest ?? '');
  } catch (error) {
    throw invalid(error, 'NAME_INVALID');
  }
}

function complete(registry: string, name: string): { registry: string; repository: string } {
  const isShort = registry === DEFAULT_REGISTRY && !name.includes('/');
  return { registry, repository: parseRepository(isShort ? `library/${name}` : name) };
}

function readReference(text: string): string {
  if (text.includes(':')) return readDigest(text);
  try {
    return parseTag(text);
  } catch (error) {
    throw invalid(error, 'TAG_INVALID');
  }
}

function readDigest(text: string): ReturnType<typeof parseDigest> {
  try {
    return parseDigest(text);
  } catch (error) {
    throw invalid(error, 'DIGEST_INVALID');
  }
}

function invalid(error: unknown, code: 'NAME_INVALID' | 'TAG_INVALID' | 'DIGEST_INVALID'): unknown {
  if (!(error instanceof ReferenceError || error instanceof DigestError)) return error;
  return new OciError(code, error.message, { cause: error });
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new OciError('NAME_INVALID', 'the path is not percent-encoded UTF-8', { cause });
  }
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

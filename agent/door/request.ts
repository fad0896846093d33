import type { Caller, Content, List } from '#agent/upstream.ts';
import { orInvalid, parseEndpoint, readDigest, readReference } from '#registry/endpoint.ts';
import { OciError } from '#registry/oci-error.ts';
import { DEFAULT_REGISTRY, namesRegistry, parseRegistryHost, parseRepository } from '#registry/reference.ts';

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

/**
 * Reads a request target below `/v2/`, as containerd (`?ns=<registry>`), docker, podman, CRI-O and skopeo ask
 * (`/v2/<registry>/<repository>/…` or, for docker.io, `/v2/<repository>/…`).
 * @throws OciError 400 or 404
 */
export function parseDoorRequest(target: string, authorization: string | undefined): DoorRequest {
  const [path, search = ''] = splitOnce(target, '?');
  const query = new URLSearchParams(search);
  const ns = query.get('ns') ?? undefined;
  query.delete('ns');
  const endpoint = parseEndpoint(path);
  if (endpoint === undefined)
    throw new OciError('UNSUPPORTED', 'the mirror has no such endpoint', { status: 404 });
  const caller = { ...parseDoorName(endpoint.name, ns), authorization };
  const list = { kind: 'list', caller, query: query.toString(), path, ns } as const;
  switch (endpoint.kind) {
    case 'manifests':
      return content(caller, { kind: 'manifest', reference: readReference(endpoint.reference) });
    case 'blobs':
      return content(caller, { kind: 'blob', digest: readDigest(endpoint.reference) });
    case 'referrers':
      return { ...list, resource: { kind: 'referrers', digest: readDigest(endpoint.reference) } };
    default:
      return { ...list, resource: { kind: 'tags' } };
  }
}

function content(caller: Caller, resource: Content): DoorRequest {
  return { kind: 'content', caller, resource };
}

/** The registry by `ns`, else by a first part that looks like one, else docker.io. @throws OciError NAME_INVALID */
export function parseDoorName(name: string, ns?: string): { registry: string; repository: string } {
  return orInvalid('NAME_INVALID', () => {
    if (ns !== undefined) return complete(parseRegistryHost(ns), name);
    const [first, rest] = splitOnce(name, '/');
    if (!namesRegistry(first)) return complete(DEFAULT_REGISTRY, name);
    return complete(parseRegistryHost(first), rest ?? '');
  });
}

function complete(registry: string, name: string): { registry: string; repository: string } {
  const isShort = registry === DEFAULT_REGISTRY && !name.includes('/');
  return { registry, repository: parseRepository(isShort ? `library/${name}` : name) };
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}

import { DigestError, parseDigest, type Digest } from './digest.ts';
import { OciError } from './oci-error.ts';
import { parseTag, ReferenceError } from './reference.ts';

/** What is read below `/v2/<name>/`, and of which name. The reference is not checked yet. */
export type Endpoint = { readonly name: string } & (
  | { readonly kind: 'manifests' | 'blobs' | 'referrers'; readonly reference: string }
  | { readonly kind: 'tags' }
);

const PATH =
  /^\/v2\/(?<name>.+)\/(?:(?<kind>manifests|blobs|referrers)\/(?<reference>[^/]+)|(?<tags>tags\/list))$/u;

/**
 * Reads a path as it was sent, percent-encoded (OCI distribution specification 1.1, "Endpoints": end-2, 3, 8 and 12).
 * @returns undefined for any other endpoint
 * @throws OciError NAME_INVALID where it is not percent-encoded UTF-8
 */
export function parseEndpoint(path: string): Endpoint | undefined {
  const { name, kind, reference } = PATH.exec(decode(path))?.groups ?? {};
  if (name === undefined) return undefined;
  if (reference !== undefined && (kind === 'manifests' || kind === 'blobs' || kind === 'referrers'))
    return { name, kind, reference };
  return { name, kind: 'tags' };
}

/** A tag or digest. @throws OciError TAG_INVALID, DIGEST_INVALID */
export function readReference(text: string): string {
  return text.includes(':') ? readDigest(text) : orInvalid('TAG_INVALID', () => parseTag(text));
}

/** @throws OciError DIGEST_INVALID */
export function readDigest(text: string): Digest {
  return orInvalid('DIGEST_INVALID', () => parseDigest(text));
}

/** What `parse` gives; a malformed name, tag or digest as an error that the client may be shown. @throws OciError */
export function orInvalid<T>(code: 'NAME_INVALID' | 'TAG_INVALID' | 'DIGEST_INVALID', parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ReferenceError || error instanceof DigestError)) throw error;
    throw new OciError(code, error.message, { cause: error });
  }
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new OciError('NAME_INVALID', 'the path is not percent-encoded UTF-8', { cause });
  }
}

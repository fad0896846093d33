import { type Digest, digestAlgorithm, digestOf, isDigest } from './digest.ts';
import { choosePlatform, type Manifest, parseManifest } from './image-manifest.ts';
import { ManifestError } from './media-types.ts';
import { hostPlatform, type Platform } from './platform.ts';
import { readBody } from './response-body.ts';
import type { Upstream } from './upstream.ts';
import type { Authorization, Refused, RepositoryName, Unreachable } from './upstream-answer.ts';

/** OCI distribution specification 1.1: registries should take manifests of at least 4 MiB; more is not read. */
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_INDEX_DEPTH = 4;

/** Where images are looked for, and in whose name. */
export interface ImageSource {
  readonly upstream: Pick<Upstream, 'get'>;
  readonly target: RepositoryName;
  readonly auth: Authorization;
}

export interface ImageWish {
  /** Tag or digest. */
  readonly reference: string;
  /** Without it this machine's, or the only one that there is. */
  readonly platform?: Platform;
  /** What a result that is none means to the caller. */
  readonly failure: (result: Refused | Unreachable) => Error;
}

export interface FoundImage {
  /** What the reference names: of an index where it names one. */
  readonly root: Digest;
  /** Of the platform's manifest. */
  readonly digest: Digest;
  /** The manifest's. */
  readonly bytes: Buffer;
  readonly image: Manifest & { readonly kind: 'image' };
  /** Of the index's entry, where it tells one. */
  readonly platform: Platform | undefined;
}

/**
 * Follows an index to the platform's manifest; each manifest is verified.
 * @throws ManifestError, what `failure` gives, the signal's reason
 */
export async function findImage(
  source: ImageSource,
  wish: ImageWish,
  signal: AbortSignal,
): Promise<FoundImage> {
  const { platform } = wish;
  let name = wish.reference;
  let root: Digest | undefined;
  let taken: Platform | undefined;
  for (let depth = 0; depth < MAX_INDEX_DEPTH; depth += 1) {
    const { digest, bytes } = await fetchManifest(source, name, wish, signal);
    root ??= digest;
    const manifest = parseManifest(bytes);
    if (manifest.kind === 'image') return { root, digest, bytes, image: manifest, platform: taken };
    const chosen = choosePlatform(manifest.manifests, platform ?? hostPlatform(), platform !== undefined);
    name = chosen.digest;
    taken = chosen.platform ?? taken;
  }
  throw new ManifestError(`more than ${MAX_INDEX_DEPTH} indexes lie inside one another`);
}

async function fetchManifest(
  { upstream, target, auth }: ImageSource,
  name: string,
  { failure }: ImageWish,
  signal: AbortSignal,
): Promise<{ digest: Digest; bytes: Buffer }> {
  const result = await upstream.get({ ...target, kind: 'manifest', reference: name }, auth, signal);
  if (!result.ok) throw failure(result);
  const bytes = await readBody(result.body, MAX_MANIFEST_BYTES);
  const expected = isDigest(name) ? name : result.digest;
  const digest = digestOf(bytes, expected && digestAlgorithm(expected));
  if (expected !== undefined && expected !== digest)
    throw new ManifestError(`the manifest that came for ${expected} does not match it`);
  return { digest, bytes };
}

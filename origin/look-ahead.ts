import type { Digest } from '#registry/digest.ts';
import { choosePlatform, type Manifest, parseManifest } from '#registry/image-manifest.ts';
import { ManifestError, OCI_EMPTY } from '#registry/media-types.ts';
import type { Platform } from '#registry/platform.ts';
import { MANIFEST_LIMIT, SMALL_BYTES } from './defaults.ts';

export interface Next {
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
}

/**
 * What a runtime asks for when it has read a manifest: after an index the manifest of its platform, after that the
 * config. Layers are not foretold, for a node may have them from another image.
 * @returns undefined after anything else, and where it is large
 */
export function contentAfter(manifest: Buffer, platform: Platform | undefined): Next | undefined {
  try {
    return next(parseManifest(manifest), platform);
  } catch (error) {
    // It is another kind of artifact, or not for this platform: what is asked for next will show.
    if (error instanceof ManifestError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function next(read: Manifest, platform: Platform | undefined): Next | undefined {
  if (read.kind === 'image') {
    const { digest, size, mediaType } = read.config;
    return size <= SMALL_BYTES && mediaType !== OCI_EMPTY ? { kind: 'blob', digest } : undefined;
  }
  if (platform === undefined) return undefined;
  const { digest, size } = choosePlatform(read.manifests, platform, true);
  return size <= MANIFEST_LIMIT ? { kind: 'manifest', digest } : undefined;
}

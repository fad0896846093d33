import type { Digest } from '#registry/digest.ts';
import { choosePlatform, parseManifest } from '#registry/image-manifest.ts';
import { ManifestError } from '#registry/media-types.ts';
import type { Platform } from '#registry/platform.ts';

/** What a runtime asks for when it has read an index or manifest. */
export interface Next {
  readonly kind: 'manifest' | 'blob';
  readonly digest: Digest;
}

/**
 * What of small content follows: the platform's manifest after an index, the config after a manifest. Layers are left
 * to be asked for: nodes may have them.
 */
export function nextAfter(manifest: Buffer, platform: Platform): Next | undefined {
  try {
    const read = parseManifest(manifest);
    return read.kind === 'index'
      ? { kind: 'manifest', digest: choosePlatform(read.manifests, platform, true).digest }
      : { kind: 'blob', digest: read.config.digest };
  } catch (error) {
    // It is another kind of artifact, or not for this platform: what is asked for next will show.
    if (error instanceof ManifestError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

import type { Digest } from '#registry/digest.ts';
import { choosePlatform, parseManifest } from '#registry/image-manifest.ts';
import { ManifestError } from '#registry/media-types.ts';
import type { Platform } from '#registry/platform.ts';
import { MANIFEST_LIMIT } from './defaults.ts';

/** The manifest that a runtime on the platform asks for when it has read an index; undefined after anything else. */
export function manifestAfter(index: Buffer, platform: Platform): Digest | undefined {
  try {
    const read = parseManifest(index);
    if (read.kind !== 'index') return undefined;
    const { digest, size } = choosePlatform(read.manifests, platform, true);
    return size <= MANIFEST_LIMIT ? digest : undefined;
  } catch (error) {
    // It is another kind of artifact, or not for this platform: what is asked for next will show.
    if (error instanceof ManifestError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

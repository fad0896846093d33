import type { Digest } from '#registry/digest.ts';
import { choosePlatform, type Manifest, parseManifest } from '#registry/image-manifest.ts';
import { ManifestError, OCI_EMPTY } from '#registry/media-types.ts';
import type { Platform } from '#registry/platform.ts';
import { LAYERS_AHEAD, MANIFEST_LIMIT } from './defaults.ts';

/** Layers that no registry serves, as of Windows (OCI image specification, layer.md, and docker's). */
const ELSEWHERE = /nondistributable|foreign/;

export type Next =
  | { readonly kind: 'manifest'; readonly digest: Digest }
  | {
      readonly kind: 'blob';
      readonly digest: Digest;
      /** Bytes, as the manifest tells them. */
      readonly ahead: number;
    };

/**
 * What a runtime asks for when it has read a manifest: after an index the manifest of its platform, after that the
 * config and the layers that are pulled first. A node may have those from another image.
 */
export function contentAfter(manifest: Buffer, platform: Platform | undefined): readonly Next[] {
  try {
    return next(parseManifest(manifest), platform);
  } catch (error) {
    // It is another kind of artifact, or not for this platform: what is asked for next will show.
    if (error instanceof ManifestError || error instanceof SyntaxError) return [];
    throw error;
  }
}

function next(read: Manifest, platform: Platform | undefined): readonly Next[] {
  if (read.kind === 'image') {
    return [read.config, ...read.layers.slice(0, LAYERS_AHEAD)]
      .filter(({ mediaType }) => mediaType !== OCI_EMPTY && !ELSEWHERE.test(mediaType))
      .map(({ digest, size }) => ({ kind: 'blob', digest, ahead: size }));
  }
  if (platform === undefined) return [];
  const { digest, size } = choosePlatform(read.manifests, platform, true);
  return size <= MANIFEST_LIMIT ? [{ kind: 'manifest', digest }] : [];
}

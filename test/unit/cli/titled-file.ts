import type { UpstreamRegistry } from '../../../demo/upstream-registry.ts';

/** Puts an artifact of one file into `org/app`. @returns the digests of its manifest and of the file */
export function addTitledFile(
  { content }: UpstreamRegistry,
  { tag, title, bytes }: { tag: string; title: string; bytes: Buffer },
): { manifest: string; file: string } {
  const file = {
    mediaType: 'text/plain',
    digest: content.addBlob('org/app', bytes),
    size: bytes.length,
    annotations: { 'org.opencontainers.image.title': title },
  };
  const manifest = { schemaVersion: 2, config: file, layers: [file] };
  return { manifest: content.addManifest('org/app', manifest, { tag }), file: file.digest };
}

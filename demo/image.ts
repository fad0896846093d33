import { mkdir, readdir, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { helloBinary, type Architecture } from './hello-binary.ts';
import {
  descriptor,
  type ImageBlob,
  type ImageLayer,
  MEDIA_TYPES,
  writeBlob,
  writeLayer,
  writeTop,
} from './oci-layout.ts';
import type { TarEntry } from './tar.ts';

const GENERATED_FILE_BYTES = 8 * 1024 * 1024;
const SMALL_LAYER_BYTES = 64 * 1024;

interface PlatformImage {
  architecture: Architecture;
  manifest: ImageBlob;
  config: ImageBlob;
  layers: ImageLayer[];
}

export interface Image {
  /** An OCI image layout (`oci-layout`, `index.json`, `blobs/sha256/…`), as `skopeo copy oci:<dir>` reads it. */
  dir: string;
  index: ImageBlob;
  /** linux/amd64: what most callers mean by "the image". */
  amd64: PlatformImage;
  arm64: PlatformImage;
  /** The layers of linux/amd64: the small uncompressed base first, then those asked for. */
  layers: ImageLayer[];
  /** What a pull of linux/amd64 takes: index, manifest, config and layers. */
  totalBytes: number;
  /** Every blob and manifest of every platform, by digest. */
  blobs: Map<string, ImageBlob>;
}

/** A number is a gzip layer of about so many generated, incompressible bytes. */
export type LayerSpec =
  | number
  | { size: number; compression?: 'gzip' | 'none' }
  | { files: readonly TarEntry[]; compression?: 'gzip' | 'none' };

export interface ImageOptions {
  dir: string;
  layers: readonly LayerSpec[];
  /** Equal seeds and layers make equal digests. */
  seed?: string | number;
  /** Printed by the image's entrypoint. */
  message?: string;
  signal?: AbortSignal;
}

/**
 * Makes a multi-arch image (linux/amd64 as asked, a small linux/arm64) of real tar layers in `dir`.
 * Blobs go to files as they are made; memory does not grow with the image. The entrypoint, `/hello`, runs.
 */
export async function makeImage({
  dir,
  layers,
  seed = 'shoal',
  message,
  signal,
}: ImageOptions): Promise<Image> {
  const text = message ?? `Hello from a Shoal demo image (${seed}).\n`;
  await mkdir(join(dir, 'blobs', 'sha256'), { recursive: true });
  const generated = layers.map((spec, index) => layerEntries(spec, `${seed}/amd64/${index}`, index));
  const amd64 = await makePlatform(dir, 'amd64', [baseLayer('amd64', text), ...generated], signal);
  const small = layerEntries(SMALL_LAYER_BYTES, `${seed}/arm64/0`, 0);
  const arm64 = await makePlatform(dir, 'arm64', [baseLayer('arm64', text), small], signal);
  const index = await writeBlob(dir, MEDIA_TYPES.index, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests: [
      { ...descriptor(amd64.manifest), platform: { architecture: 'amd64', os: 'linux' } },
      { ...descriptor(arm64.manifest), platform: { architecture: 'arm64', os: 'linux', variant: 'v8' } },
    ],
  });
  await writeTop(dir, index, { 'org.opencontainers.image.ref.name': 'latest' });
  return describeImage(dir, index, amd64, arm64);
}

/** The regular, not hidden files below a directory in a stable order, up to `maxBytes` in all, as entries below `as`. */
export async function filesBelow(directory: string, as: string, maxBytes: number): Promise<TarEntry[]> {
  const listed = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = listed
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name))
    .filter((path) => !path.slice(directory.length).includes('/.'));
  const entries: TarEntry[] = [];
  let total = 0;
  for (const path of paths.sort()) {
    const { size, mode } = await stat(path);
    if (total + size > maxBytes) continue;
    total += size;
    const name = posix.join(as, path.slice(directory.length));
    entries.push({ type: 'file', name, mode: mode & 0o777, source: { kind: 'disk', path, size } });
  }
  return entries;
}

interface Layer {
  entries: readonly TarEntry[];
  compression: 'gzip' | 'none';
}

function baseLayer(architecture: Architecture, message: string): Layer {
  return {
    compression: 'none',
    entries: [
      { type: 'directory', name: 'etc' },
      textFile('etc/os-release', 'NAME="Shoal demo"\nID=shoal-demo\n'),
      textFile('etc/passwd', 'root:x:0:0:root:/:/hello\n'),
      { type: 'directory', name: 'tmp' },
      {
        type: 'file',
        name: 'hello',
        mode: 0o755,
        source: { kind: 'bytes', bytes: helloBinary(architecture, message) },
      },
      { type: 'symlink', name: 'greet', target: 'hello' },
    ],
  };
}

function textFile(name: string, content: string): TarEntry {
  return { type: 'file', name, source: { kind: 'bytes', bytes: Buffer.from(content) } };
}

function layerEntries(spec: LayerSpec, seed: string, index: number): Layer {
  if (typeof spec === 'number') return layerEntries({ size: spec }, seed, index);
  const compression = spec.compression ?? 'gzip';
  if ('files' in spec) return { entries: spec.files, compression };
  const entries: TarEntry[] = [{ type: 'directory', name: 'srv' }];
  for (let left = spec.size, part = 0; left > 0; left -= GENERATED_FILE_BYTES, part++) {
    const size = Math.min(left, GENERATED_FILE_BYTES);
    const name = `srv/layer-${index}-part-${part}.bin`;
    entries.push({ type: 'file', name, source: { kind: 'generated', seed: `${seed}/${part}`, size } });
  }
  return { entries, compression };
}

async function makePlatform(
  dir: string,
  architecture: Architecture,
  specs: readonly Layer[],
  signal: AbortSignal | undefined,
): Promise<PlatformImage> {
  const writing = specs.map(({ entries, compression }) =>
    writeLayer(dir, entries, { compression, level: 1, ...(signal && { signal }) }),
  );
  // None is left that still writes when one has failed.
  await Promise.allSettled(writing);
  const layers = await Promise.all(writing);
  const config = await writeBlob(dir, MEDIA_TYPES.config, {
    architecture,
    os: 'linux',
    created: '1970-01-01T00:00:00Z',
    config: { Entrypoint: ['/hello'], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'shoal demo' })),
  });
  const manifest = await writeBlob(dir, MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: descriptor(config),
    layers: layers.map(descriptor),
  });
  return { architecture, manifest, config, layers };
}

function describeImage(dir: string, index: ImageBlob, amd64: PlatformImage, arm64: PlatformImage): Image {
  const parts = ({ manifest, config, layers }: PlatformImage): ImageBlob[] => [manifest, config, ...layers];
  const blobs = [index, ...parts(amd64), ...parts(arm64)];
  const totalBytes = [index, ...parts(amd64)].reduce((total, blob) => total + blob.size, 0);
  return {
    dir,
    index,
    amd64,
    arm64,
    layers: amd64.layers,
    totalBytes,
    blobs: new Map(blobs.map((blob) => [blob.digest, blob])),
  };
}

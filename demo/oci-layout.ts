import { createHash, randomUUID, type Hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { digestOf } from '#registry/digest.ts';
import { tarStream, type TarEntry } from './tar.ts';

/** The writer's side of an OCI image layout (image-spec, image-layout.md): `oci-layout`, `index.json`, `blobs/sha256/…`. */

export const MEDIA_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  none: 'application/vnd.oci.image.layer.v1.tar',
} as const;

/** An OCI descriptor and the file that holds its bytes. */
export interface ImageBlob {
  digest: string;
  size: number;
  mediaType: string;
  path: string;
}

export interface ImageLayer extends ImageBlob {
  /** Digest of the uncompressed tar. */
  diffId: string;
}

export interface LayerOptions {
  compression: 'gzip' | 'none';
  /** Of gzip, 1 to 9. */
  level: number;
  signal?: AbortSignal;
}

/** Memory does not grow with the layer. Equal entries make equal bytes with one zlib. */
export async function writeLayer(
  dir: string,
  entries: Iterable<TarEntry>,
  { compression, level, signal }: LayerOptions,
): Promise<ImageLayer> {
  const unpacked = createHash('sha256');
  const packed = createHash('sha256');
  const temporary = join(dir, `layer-${randomUUID()}`);
  const tar = hashed(tarStream(entries), unpacked);
  const pack = compression === 'none' ? new PassThrough() : createGzip({ level, chunkSize: 128 * 1024 });
  const seal = (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> => hashed(chunks, packed);
  const file = createWriteStream(temporary);
  await pipeline(tar, pack, seal, file, signal === undefined ? {} : { signal });
  const hex = packed.digest('hex');
  const path = join(dir, 'blobs', 'sha256', hex);
  await rename(temporary, path);
  const { size } = await stat(path);
  const diffId = `sha256:${unpacked.digest('hex')}`;
  return { digest: `sha256:${hex}`, size, mediaType: MEDIA_TYPES[compression], path, diffId };
}

async function* hashed(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

/** A JSON document as a blob. */
export async function writeBlob(dir: string, mediaType: string, value: object): Promise<ImageBlob> {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = digestOf(bytes);
  const path = join(dir, 'blobs', 'sha256', digest.slice('sha256:'.length));
  await writeFile(path, bytes);
  return { digest, size: bytes.length, mediaType, path };
}

/** Makes the directory a layout whose one entry is `index`. */
export async function writeTop(
  dir: string,
  index: ImageBlob,
  annotations: Readonly<Record<string, string>>,
): Promise<void> {
  const top = { ...descriptor(index), annotations };
  await writeFile(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [top] }));
}

export function descriptor({ mediaType, digest, size }: ImageBlob): object {
  return { mediaType, digest, size };
}

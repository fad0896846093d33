import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { deterministicChunks } from '../../demo/generated-bytes.ts';

export interface Blob {
  readonly digest: string;
  readonly size: number;
}

/** What the upstream registry holds: files in `blobs/` and `manifests/`, named as they are asked for. */
export class Content {
  readonly directory: string;
  readonly blobs: Blob[] = [];
  /** Of the one tag. */
  manifest: Blob | undefined;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async create(directory: string): Promise<Content> {
    for (const kind of ['blobs', 'manifests']) await mkdir(join(directory, kind), { recursive: true });
    return new Content(directory);
  }

  /** Incompressible bytes; equal seeds make equal blobs. */
  async addBlob(seed: string, size: number): Promise<Blob> {
    const hash = createHash('sha256');
    const unnamed = join(this.directory, 'unnamed');
    await pipeline(
      deterministicChunks(seed, size),
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(unnamed),
    );
    const blob = { digest: `sha256:${hash.digest('hex')}`, size };
    await rename(unnamed, this.fileOf(blob.digest));
    this.blobs.push(blob);
    return blob;
  }

  fileOf(digest: string): string {
    return join(this.directory, 'blobs', digest);
  }

  async removeBlob({ digest }: Blob): Promise<void> {
    await rm(this.fileOf(digest));
    this.blobs.splice(
      this.blobs.findIndex((blob) => blob.digest === digest),
      1,
    );
  }

  /** An OCI image of the blobs made so far: the first is its configuration, the others its layers. */
  async addManifest(tag: string): Promise<Blob> {
    const [config, ...layers] = this.blobs.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest,
      size,
    }));
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST_TYPE,
        config: { ...config, mediaType: 'application/vnd.oci.image.config.v1+json' },
        layers,
      }),
    );
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    for (const name of [tag, digest]) await writeFile(join(this.directory, 'manifests', name), bytes);
    this.manifest = { digest, size: bytes.length };
    return this.manifest;
  }
}

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

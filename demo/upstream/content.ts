import { readFile } from 'node:fs/promises';
import { digestOf } from '#registry/digest.ts';
import type { Image } from '../image.ts';

/** Bytes in memory for small things, a file for large ones. */
export type BlobSource = { kind: 'bytes'; bytes: Buffer } | { kind: 'file'; path: string; size: number };

export interface StoredManifest {
  digest: string;
  mediaType: string;
  bytes: Buffer;
  /** For the referrers API: the digest of the manifest that this one is about. */
  subject: string | undefined;
  artifactType: string | undefined;
  annotations: Record<string, string> | undefined;
}

interface Repository {
  tags: Map<string, string>;
  manifests: Map<string, StoredManifest>;
  blobs: Map<string, BlobSource>;
}

interface ManifestJson {
  mediaType?: string;
  artifactType?: string;
  config?: { mediaType?: string };
  subject?: { digest?: string };
  annotations?: Record<string, string>;
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

/** What the registry holds, by repository: a blob of one repository is unknown to another. */
export class Content {
  readonly #repositories = new Map<string, Repository>();

  /** All platforms of the image under one tag. */
  async addImage(repository: string, tag: string, image: Image): Promise<void> {
    const manifests = [image.index, image.amd64.manifest, image.arm64.manifest];
    const digests = new Set(manifests.map((blob) => blob.digest));
    for (const { digest, path, size } of image.blobs.values()) {
      if (!digests.has(digest)) this.#open(repository).blobs.set(digest, { kind: 'file', path, size });
    }
    for (const { path, mediaType } of manifests) {
      this.addManifest(repository, await readFile(path), { mediaType });
    }
    this.setTag(repository, tag, image.index.digest);
  }

  /** Returns the digest. A `digest` of the caller's own makes a registry that holds wrong bytes. */
  addBlob(repository: string, content: Uint8Array | BlobSource, digest?: string): string {
    const source: BlobSource =
      content instanceof Uint8Array ? { kind: 'bytes', bytes: Buffer.from(content) } : content;
    const key = digest ?? (source.kind === 'bytes' ? digestOf(source.bytes) : undefined);
    if (key === undefined) throw new Error('a blob in a file needs its digest');
    this.#open(repository).blobs.set(key, source);
    return key;
  }

  /** Returns the digest. Nothing that the manifest names need exist. */
  addManifest(
    repository: string,
    manifest: Uint8Array | object,
    options: { tag?: string; mediaType?: string } = {},
  ): string {
    const bytes = Buffer.from(manifest instanceof Uint8Array ? manifest : JSON.stringify(manifest));
    const json: ManifestJson = JSON.parse(bytes.toString('utf8'));
    const digest = digestOf(bytes);
    this.#open(repository).manifests.set(digest, {
      digest,
      bytes,
      mediaType: options.mediaType ?? json.mediaType ?? MANIFEST,
      subject: json.subject?.digest,
      artifactType: json.artifactType ?? json.config?.mediaType,
      annotations: json.annotations,
    });
    if (options.tag !== undefined) this.setTag(repository, options.tag, digest);
    return digest;
  }

  /** Also moves a tag. */
  setTag(repository: string, tag: string, digest: string): void {
    this.#open(repository).tags.set(tag, digest);
  }

  /** Forgets a blob, a manifest or a tag. */
  remove(repository: string, reference: string): boolean {
    const { tags, manifests, blobs } = this.#open(repository);
    return [tags, manifests, blobs].map((map) => map.delete(reference)).includes(true);
  }

  has(repository: string): boolean {
    return this.#repositories.has(repository);
  }

  blob(repository: string, digest: string): BlobSource | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** By tag or digest. */
  manifest(repository: string, reference: string): StoredManifest | undefined {
    const found = this.#repositories.get(repository);
    return found?.manifests.get(found.tags.get(reference) ?? reference);
  }

  /** In the order that the tags list needs. */
  tags(repository: string): string[] {
    return [...(this.#repositories.get(repository)?.tags.keys() ?? [])].sort();
  }

  referrers(repository: string, subject: string): StoredManifest[] {
    const manifests = this.#repositories.get(repository)?.manifests.values() ?? [];
    return [...manifests].filter((manifest) => manifest.subject === subject);
  }

  #open(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = { tags: new Map(), manifests: new Map(), blobs: new Map() };
      this.#repositories.set(name, repository);
    }
    return repository;
  }
}

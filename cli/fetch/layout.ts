import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { digestAlgorithm, digestHex } from '#registry/digest.ts';
import type { Digest } from '#registry/digest.ts';
import { isJsonObject } from '#registry/json-object.ts';
import { OCI_INDEX } from '#registry/media-types.ts';

import { FetchError } from './fetch-error.ts';

/** An entry of a layout's index.json. */
export interface LayoutEntry {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

const REF_NAME = 'org.opencontainers.image.ref.name';

/** Where a layout keeps a blob (OCI image specification, image-layout.md). */
export function layoutBlobPath(directory: string, digest: Digest): string {
  return join(directory, 'blobs', digestAlgorithm(digest), digestHex(digest));
}

/** Makes the directory an OCI image layout, or checks that it is one already. */
export async function prepareLayout(directory: string): Promise<void> {
  for (const algorithm of ['sha256', 'sha512'] as const)
    await mkdir(join(directory, 'blobs', algorithm), { recursive: true });
  await writeWhole(join(directory, 'oci-layout'), `${JSON.stringify({ imageLayoutVersion: '1.0.0' })}\n`);
}

/** Adds an entry to index.json; one of the same name or digest is replaced. @throws FetchError where the index is malformed. */
export async function addToLayout(directory: string, entry: LayoutEntry): Promise<void> {
  const path = join(directory, 'index.json');
  const others = (await readEntries(path)).filter((other) => !isSame(other, entry));
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, entry] };
  await writeWhole(path, `${JSON.stringify(index, undefined, 2)}\n`);
}

async function readEntries(path: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const manifests = parseIndex(text);
  if (!Array.isArray(manifests) || !manifests.every((item) => isJsonObject(item)))
    throw new FetchError(`${path} is not the index of an OCI layout: choose another directory`);
  return manifests;
}

function parseIndex(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value['manifests'] : undefined;
  } catch {
    return undefined; // told by the caller
  }
}

function isSame(other: Record<string, unknown>, { digest, annotations }: LayoutEntry): boolean {
  const named = other['annotations'];
  const name: unknown = isJsonObject(named) ? named[REF_NAME] : undefined;
  return name === undefined ? other['digest'] === digest : name === annotations[REF_NAME];
}

/** Writes a small file by temporary file and rename. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.shoal-${randomBytes(8).toString('hex')}.part`);
  try {
    await using file = await open(temporary, 'wx', 0o644);
    await file.writeFile(content);
    await file.sync();
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

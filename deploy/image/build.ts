import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import {
  descriptor,
  type ImageBlob,
  type ImageLayer,
  MEDIA_TYPES,
  writeBlob,
  writeLayer,
  writeTop,
} from '../../demo/oci-layout.ts';
import type { TarEntry } from '../../demo/tar.ts';
import { HOME, prepareApplication } from './application.ts';
import { readBaseLock } from './base-lock.ts';
import { prepareBase, USER_ID } from './base.ts';
import { ENVIRONMENT } from './environment.ts';
import { type Platform, PLATFORMS } from './platform.ts';
import { describeContents } from './sbom.ts';
import type { Source } from './source.ts';
import { textEntry } from './tree.ts';

export interface BuildOptions {
  readonly source: Source;
  /** Becomes an OCI image layout; what is there goes. */
  readonly output: string;
  /** Downloads are kept here from build to build. */
  readonly cache: string;
  /** Told what is being done. */
  readonly say: (text: string) => void;
}

const SBOM = 'usr/share/doc/shoal/sbom.cdx.json';
const GZIP_LEVEL = 6;

/**
 * Builds the image for all platforms, from the lock files and the project's own files alone: equal sources make equal
 * digests on any machine. Needs npm, apt and dpkg, no container engine and no root.
 * @returns the image index.
 * @throws ChecksumError, CommandError
 */
export async function buildImage({ source, output, cache, say }: BuildOptions): Promise<ImageBlob> {
  await rm(output, { recursive: true, force: true });
  await mkdir(join(output, 'blobs', 'sha256'), { recursive: true });
  const pack = (entries: readonly TarEntry[]): Promise<ImageLayer> =>
    writeLayer(output, entries, { compression: 'gzip', level: GZIP_LEVEL });
  const lock = await readBaseLock();
  say('programs');
  const scratch = join(output, 'application');
  const programs = await pack(await prepareApplication(source.project, source.folders, scratch));
  const manifests: object[] = [];
  for (const platform of PLATFORMS) {
    say(`linux/${platform.architecture}`);
    const base = await prepareBase(lock, platform, cache);
    const contents = JSON.stringify(await describeContents(source.project, lock, platform), undefined, 2);
    const layers = [
      await pack(base.libraries),
      await pack(base.node),
      programs,
      await pack([textEntry(SBOM, `${contents}\n`)]),
    ];
    manifests.push(await writePlatform(output, platform, layers, source));
  }
  await rm(scratch, { recursive: true });
  const annotations = labelsOf(source);
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests, annotations };
  const index = await writeBlob(output, MEDIA_TYPES.index, document);
  await writeTop(output, index, { 'org.opencontainers.image.ref.name': source.version });
  return index;
}

/** @returns the platform's entry in the index (image-spec, image-index.md). */
async function writePlatform(
  output: string,
  { architecture, variant }: Platform,
  layers: readonly ImageLayer[],
  source: Source,
): Promise<object> {
  const platform = { architecture, os: 'linux', ...(variant !== undefined && { variant }) };
  const config = await writeBlob(output, MEDIA_TYPES.config, {
    ...platform,
    created: source.created,
    config: {
      User: `${USER_ID}:${USER_ID}`,
      Env: ['PATH=/usr/bin', ...Object.entries(ENVIRONMENT).map(([name, value]) => `${name}=${value}`)],
      Entrypoint: ['/usr/bin/node', `/${HOME}/cli/shoal.js`],
      WorkingDir: '/',
      Labels: labelsOf(source),
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: ['libraries', 'node', 'programs', 'contents'].map((what) => ({
      created: source.created,
      created_by: `npm run image: ${what}`,
    })),
  });
  const manifest = await writeBlob(output, MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: descriptor(config),
    layers: layers.map(descriptor),
    annotations: labelsOf(source),
  });
  return { ...descriptor(manifest), platform };
}

/** image-spec, annotations.md. */
function labelsOf({ created, description, licenses, revision, version }: Source): Record<string, string> {
  const labels = { title: 'shoal', description, licenses, version, created, revision };
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [`org.opencontainers.image.${name}`, value]),
  );
}

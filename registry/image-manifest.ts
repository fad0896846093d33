import { isDigest } from './digest.ts';
import type { Digest } from './digest.ts';
import { isJsonObject } from './json-object.ts';
import { detectManifestType, isIndexType, isManifestType, ManifestError } from './media-types.ts';
import { quote } from './redact.ts';

import { formatPlatform } from './platform.ts';
import type { Platform } from './platform.ts';

/** A reference to content (OCI image specification, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

/** An image or artifact, or several to choose from. */
export type Manifest =
  | {
      readonly kind: 'image';
      readonly mediaType: string;
      readonly config: Descriptor;
      readonly layers: readonly Descriptor[];
    }
  | { readonly kind: 'index'; readonly mediaType: string; readonly manifests: readonly Descriptor[] };

const MAX_DESCRIPTORS = 4096;

/**
 * Reads a manifest or index, OCI's or docker's (schema 2).
 * @throws ManifestError
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const mediaType = detectManifestType(bytes);
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  const members = isJsonObject(value) ? value : {};
  if (isIndexType(mediaType))
    return { kind: 'index', mediaType, manifests: readList(members['manifests'], 'manifests') };
  if (!isManifestType(mediaType))
    throw new ManifestError(`a manifest of type ${quote(mediaType)} cannot be fetched`);
  const config = readDescriptor(members['config'], 'config');
  return { kind: 'image', mediaType, config, layers: readList(members['layers'], 'layers') };
}

function readList(value: unknown, name: string): Descriptor[] {
  if (!Array.isArray(value)) throw new ManifestError(`the manifest's "${name}" is not a list`);
  if (value.length > MAX_DESCRIPTORS)
    throw new ManifestError(
      `the manifest's "${name}" has ${value.length} entries, at most ${MAX_DESCRIPTORS} are allowed`,
    );
  return value.map((item, index) => readDescriptor(item, `${name}[${index}]`));
}

function readDescriptor(value: unknown, name: string): Descriptor {
  if (!isJsonObject(value)) throw new ManifestError(`the manifest's "${name}" is not a descriptor`);
  const { mediaType, digest, size, annotations, platform } = value;
  if (typeof mediaType !== 'string') throw new ManifestError(`the manifest's "${name}" has no mediaType`);
  if (typeof digest !== 'string' || !isDigest(digest))
    throw new ManifestError(`the manifest's "${name}" has no digest that can be verified`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw new ManifestError(`the manifest's "${name}" has no size`);
  const read = readPlatform(platform);
  return {
    mediaType,
    digest,
    size,
    annotations: readAnnotations(annotations),
    ...(read && { platform: read }),
  };
}

function readAnnotations(value: unknown): Record<string, string> {
  if (!isJsonObject(value)) return {};
  const texts = Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
  return Object.fromEntries(texts);
}

function readPlatform(value: unknown): Platform | undefined {
  if (!isJsonObject(value)) return undefined;
  const { os, architecture, variant } = value;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, ...(typeof variant === 'string' && { variant }) };
}

/**
 * The manifest of an index that fits the platform; the only one of an index of one.
 * @throws ManifestError naming the platforms that there are.
 */
export function choosePlatform(
  manifests: readonly Descriptor[],
  wanted: Platform,
  isExplicit: boolean,
): Descriptor {
  const fitting = manifests.filter(({ platform }) => platform && fits(platform, wanted));
  const exact = fitting.find(({ platform }) => platform?.variant === wanted.variant);
  const chosen = exact ?? fitting[0] ?? (manifests.length === 1 && !isExplicit ? manifests[0] : undefined);
  if (chosen) return chosen;
  const known = manifests.flatMap(({ platform }) =>
    platform && platform.os !== 'unknown' ? [formatPlatform(platform)] : [],
  );
  throw new ManifestError(
    `there is nothing for ${formatPlatform(wanted)}: there are ${known.map((name) => quote(name)).join(', ') || 'none'}`,
  );
}

function fits(platform: Platform, wanted: Platform): boolean {
  if (platform.os !== wanted.os || platform.architecture !== wanted.architecture) return false;
  return wanted.variant === undefined || platform.variant === wanted.variant;
}

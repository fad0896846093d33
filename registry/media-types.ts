import { isJsonObject } from './json-object.ts';
import { quote } from './redact.ts';

/** Media types of the OCI image specification 1.1 and of docker's image manifest version 2, schema 2. */
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
/** Of the config of an artifact that has none: its two bytes are known (image specification 1.1, manifest.md). */
export const OCI_EMPTY = 'application/vnd.oci.empty.v1+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

const INDEX_TYPES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_LIST]);
const MANIFEST_TYPES: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);

/** Accept header for a manifest when the caller names none: what containerd asks for. */
export const MANIFEST_ACCEPT: string = [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, '*/*'].join(
  ', ',
);

/** The bytes are no manifest or index. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** True for an OCI index or a docker manifest list. Parameters and case are put aside (RFC 9110, 8.3.1). */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(essence(mediaType));
}

/** True for an OCI or docker image manifest. */
export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.has(essence(mediaType));
}

/** The media type without parameters, in lower case. */
export function essence(mediaType: string): string {
  return mediaType.split(';', 1)[0]!.trim().toLowerCase();
}

const MEDIA_TYPE = /^[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}$/iu;

/**
 * What a manifest is: its own `mediaType`, else inferred from its members, since OCI leaves the field
 * optional (image specification, manifest.md and image-index.md: `mediaType` SHOULD be used). A document
 * that is both manifest and index is refused, as the specification asks, lest two readers see two contents.
 * @throws ManifestError
 */
export function detectManifestType(bytes: Uint8Array): string {
  const manifest = parseObject(bytes);
  const { mediaType } = manifest;
  if ('manifests' in manifest && ('layers' in manifest || 'config' in manifest)) {
    throw new ManifestError('the manifest has both "manifests" and "layers" or "config"');
  }
  if (typeof mediaType === 'string' && mediaType !== '') return namedType(mediaType);
  if (mediaType !== undefined && mediaType !== '') throw new ManifestError('"mediaType" is not a string');
  if (Array.isArray(manifest['manifests'])) return OCI_INDEX;
  if (Array.isArray(manifest['layers'])) return OCI_MANIFEST;
  throw new ManifestError('the manifest has neither "mediaType" nor "layers" nor "manifests"');
}

function namedType(mediaType: string): string {
  if (MEDIA_TYPE.test(mediaType)) return mediaType;
  throw new ManifestError(`"mediaType" is not a media type: ${quote(mediaType)}`);
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new ManifestError('the manifest is not JSON in UTF-8', { cause });
  }
  if (isJsonObject(value)) return value;
  throw new ManifestError('the manifest is not a JSON object');
}

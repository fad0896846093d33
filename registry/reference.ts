import { isIPv6 } from 'node:net';
import { type Digest, DigestError, parseDigest } from './digest.ts';
import { quote } from './redact.ts';

/** The text is no image reference, or a part of one breaks the grammar. */
export class ReferenceError extends Error {
  override readonly name = 'ReferenceError';
}

/** An image or artifact in a registry. At least one of tag and digest is there; the digest counts where both are. */
export interface Reference {
  /** Host and, where it is named, port: `docker.io`, `ghcr.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

export const DEFAULT_REGISTRY = 'docker.io';

const REPOSITORY_LIMIT = 255;
const TAG_LIMIT = 128;
const HOST_LIMIT = 255;
const REFERENCE_LIMIT = 1024;

// OCI distribution specification 1.1, "Pulling manifests": <name> and <reference> as a tag.
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/u;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]*$/u;
const HOST_NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/u;
const HOST_AND_PORT = /^(?<host>\[[0-9a-f:.]+\]|[^[\]:]+)(?::(?<port>[0-9]{1,5}))?$/u;

/**
 * Reads a reference as docker and containerd's `ParseDockerRef` do: the first part is a registry where it
 * has a dot or a colon or is `localhost`, else the registry is docker.io; a single part there
 * lies under `library/`. Without tag and digest the tag is `latest`.
 * @throws ReferenceError
 */
export function parseReference(text: string): Reference {
  if (text.length > REFERENCE_LIMIT) {
    throw new ReferenceError(
      `a reference has at most ${REFERENCE_LIMIT} characters, this one ${text.length}`,
    );
  }
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : referenceDigest(text, text.slice(at + 1));
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon === -1 ? undefined : parseTag(named.slice(colon + 1));
  const name = splitRegistry(colon === -1 ? named : named.slice(0, colon));
  if (digest === undefined) return { ...name, tag: tag ?? 'latest' };
  return tag === undefined ? { ...name, digest } : { ...name, tag, digest };
}

/** The reference in full: `parseReference` reads it back as it was. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/**
 * True where a first path part names a registry and not a part of the repository. Distribution takes a bare name with
 * a capital (`Host/app`) for a registry too; in lower case it would then be a repository, so it is refused instead.
 */
export function namesRegistry(part: string): boolean {
  return part === 'localhost' || /[.:]/u.test(part);
}

/**
 * A repository, OCI's `<name>`: lower-case parts between slashes, at most 255 characters.
 * @throws ReferenceError
 */
export function parseRepository(name: string): string {
  if (name.length > REPOSITORY_LIMIT) {
    throw new ReferenceError(
      `a repository has at most ${REPOSITORY_LIMIT} characters, this one ${name.length}`,
    );
  }
  if (REPOSITORY.test(name)) return name;
  throw new ReferenceError(
    `${quote(name)} is not a repository: parts of a-z and 0-9 joined inside by ".", "_", "__" or "-", between slashes`,
  );
}

/**
 * A tag: at most 128 of A-Z, a-z, 0-9, "_", "." and "-", the first neither "." nor "-".
 * @throws ReferenceError
 */
export function parseTag(tag: string): string {
  if (tag.length <= TAG_LIMIT && TAG.test(tag)) return tag;
  throw new ReferenceError(
    `${quote(tag)} is not a tag: at most ${TAG_LIMIT} of A-Z a-z 0-9 _ . - and the first neither . nor -`,
  );
}

/**
 * A registry's host with an optional port, in lower case; docker.io's other name, index.docker.io, becomes docker.io.
 * @throws ReferenceError
 */
export function parseRegistryHost(host: string): string {
  const lower = host.length > HOST_LIMIT ? '' : host.toLowerCase();
  const parts = HOST_AND_PORT.exec(lower)?.groups;
  if (parts?.['host'] === undefined || !isHost(parts['host']) || !isPort(parts['port'])) {
    throw new ReferenceError(
      `${quote(host)} is not a registry: a host name, an IPv4 or a bracketed IPv6 address, with :port where needed`,
    );
  }
  return lower === 'index.docker.io' ? DEFAULT_REGISTRY : lower;
}

function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  if (!namesRegistry(first)) return { registry: DEFAULT_REGISTRY, repository: dockerRepository(name) };
  const registry = parseRegistryHost(first);
  const rest = name.slice(slash + 1);
  return {
    registry,
    repository: registry === DEFAULT_REGISTRY ? dockerRepository(rest) : parseRepository(rest),
  };
}

function dockerRepository(name: string): string {
  return parseRepository(name.includes('/') ? name : `library/${name}`);
}

function referenceDigest(reference: string, text: string): Digest {
  try {
    return parseDigest(text);
  } catch (cause) {
    if (!(cause instanceof DigestError)) throw cause;
    throw new ReferenceError(`${quote(reference, 300)}: ${cause.message}`, { cause });
  }
}

function isHost(host: string): boolean {
  return host.startsWith('[') ? isIPv6(host.slice(1, -1)) : HOST_NAME.test(host);
}

function isPort(port: string | undefined): boolean {
  return port === undefined || (Number(port) >= 1 && Number(port) <= 65_535);
}

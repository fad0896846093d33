import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { isDigest, type Digest } from '#registry/digest.ts';

/** Version of the layout, part of every path. */
export const STORE_ROOT = 'v1';
/** In it, wherever a store has been opened once. */
export const STORE_DIRECTORIES = ['blobs', 'partial', 'temporary'] as const;
/** The content, in a blob's directory. */
export const DATA_FILE = 'data';
/** The log of signed hash batches, in a blob's directory; absent where there are none. */
export const BATCHES_FILE = 'hashes';
/** Size and facts of a complete blob, in its directory. */
export const FACTS_FILE = 'facts.json';

/**
 * What lies where. A blob is a directory, so that one rename makes it complete, or makes it go, with all that
 * belongs to it. The version is part of the path: another layout would start beside this one.
 */
export class Layout {
  readonly root: string;
  readonly blobs: string;
  readonly partials: string;
  /** Blobs being put and blobs being removed; emptied at every start. */
  readonly temporary: string;
  readonly marker: string;
  #sequence = 0;

  constructor(directory: string) {
    this.root = path.join(directory, STORE_ROOT);
    const [blobs, partials, temporary] = STORE_DIRECTORIES;
    this.blobs = path.join(this.root, blobs);
    this.partials = path.join(this.root, partials);
    this.temporary = path.join(this.root, temporary);
    this.marker = path.join(this.root, 'unclean');
  }

  async prepare(): Promise<void> {
    await mkdir(this.temporary, { recursive: true, mode: 0o700 });
    for (const left of await readdir(this.temporary)) {
      await rm(path.join(this.temporary, left), { recursive: true, force: true });
    }
    await mkdir(this.blobs, { recursive: true, mode: 0o700 });
    await mkdir(this.partials, { recursive: true, mode: 0o700 });
  }

  blob(digest: Digest): string {
    return path.join(this.blobs, digest.replace(':', '-'));
  }

  partial(name: string): string {
    return path.join(this.partials, name);
  }

  /** A path that nothing of this run has used. */
  nextTemporary(): string {
    this.#sequence += 1;
    return path.join(this.temporary, String(this.#sequence));
  }
}

/** The digest that a complete blob's directory is named for; undefined for a foreign name. */
export function digestOfName(name: string): Digest | undefined {
  const digest = name.replace('-', ':');
  return isDigest(digest) ? digest : undefined;
}

/** One name for each digest and scope: a scope may be any text, so it goes in by its hash. */
export function partialName(digest: Digest, scope: string): string {
  return `${digest.replace(':', '-')}.${createHash('sha256').update(scope).digest('hex').slice(0, 32)}`;
}

/** True for what `partialName` makes. */
export function isPartialName(name: string): boolean {
  const [digest, scope, ...rest] = name.split('.');
  return rest.length === 0 && digestOfName(digest ?? '') !== undefined && /^[0-9a-f]{32}$/u.test(scope ?? '');
}

import { readFile, writeFile } from 'node:fs/promises';

import type { Platform } from './platform.ts';

/** What `base.json` pins: everything in the image that package-lock.json does not. */
export interface BaseLock {
  /** Debian's release and its versions of the libraries that Node is linked with. */
  readonly debian: {
    readonly release: string;
    readonly packages: Readonly<Record<string, { readonly version: string } & PerArchitecture>>;
  };
  /** The npm packages `node-linux-<architecture>`, by their integrity. */
  readonly node: { readonly version: string } & PerArchitecture;
}

/** A digest for each architecture: SHA-256 in hexadecimal, or npm's integrity. */
type PerArchitecture = Readonly<Record<Platform['architecture'], string>>;

const LOCK = new URL('base.json', import.meta.url);

export async function readBaseLock(): Promise<BaseLock> {
  const lock: BaseLock = JSON.parse(await readFile(LOCK, 'utf8'));
  return lock;
}

export async function writeBaseLock(lock: BaseLock): Promise<void> {
  await writeFile(LOCK, `${JSON.stringify(lock, undefined, 2)}\n`);
}

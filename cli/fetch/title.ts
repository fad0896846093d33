import { lstat, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { quote } from '#registry/redact.ts';

import { FetchError } from './fetch-error.ts';
import type { Descriptor } from '#registry/image-manifest.ts';

/** OCI image specification, annotations.md: the name of the file that a blob is. */
const TITLE = 'org.opencontainers.image.title';
const MAX_TITLE = 1024;

export interface TitledBlob {
  readonly descriptor: Descriptor;
  /** Relative, slashes between parts, none of them `.` or `..`. */
  readonly path: string;
}

/**
 * The blobs that have a title, with it as a checked path.
 * @throws FetchError for a title that would leave the directory, that two blobs have, or that another one lies below.
 */
export function titledBlobs(layers: readonly Descriptor[]): TitledBlob[] {
  const seen = new Set<string>();
  const titled = layers.flatMap((descriptor) => {
    const title = descriptor.annotations[TITLE];
    if (title === undefined) return [];
    const path = checkTitle(title);
    if (seen.has(path)) throw new FetchError(`two files are titled ${quote(title)}`);
    seen.add(path);
    return [{ descriptor, path }];
  });
  for (const path of seen) {
    const above = directoriesOf(path).find((directory) => seen.has(directory));
    if (above !== undefined)
      throw new FetchError(
        `${quote(above)} is titled a file, and ${quote(path)} lies below it: nothing is written`,
      );
  }
  return titled;
}

/** `a/b/c` lies in `a` and `a/b`. */
function directoriesOf(path: string): string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
}

function checkTitle(title: string): string {
  const parts = title.split('/');
  const isSafe = parts.every(
    (part) => part !== '' && part !== '.' && part !== '..' && Buffer.byteLength(part) <= 255,
  );
  if (!isSafe || title.length > MAX_TITLE || /[\\\p{Cc}]/u.test(title) || /^[a-z]:/i.test(title))
    throw new FetchError(
      `the title ${quote(title)} is no relative path below the directory: nothing is written`,
    );
  return title;
}

/**
 * Makes the directories above a titled file. A symbolic link among them is refused: it may lead outside.
 * @returns the file's path.
 * @throws FetchError
 */
export async function prepareTitledPath(directory: string, path: string): Promise<string> {
  const above = dirname(path) === '.' ? [] : dirname(path).split('/');
  let at = directory;
  for (const part of above) {
    at = join(at, part);
    await mkdir(at).catch(() => {}); // what stands there instead is told next
    const found = await lstat(at);
    if (!found.isDirectory()) throw new FetchError(`${quote(path)} cannot be written: ${at} is no directory`);
  }
  return join(directory, path);
}

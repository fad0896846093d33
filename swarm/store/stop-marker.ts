import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { isDigest, type Digest } from '#registry/digest.ts';
import { replaceFile, syncDirectory } from './durable-files.ts';
import { isMissing } from './errors.ts';

/** Which blobs have to be verified again before they are served. */
export type Suspects = 'all' | ReadonlySet<Digest>;

const EVERY_BLOB = JSON.stringify('all');

/**
 * A file that lies in the store while it is in use, and after an unclean stop. After a clean stop it is gone, or
 * lists the blobs that an earlier unclean stop made suspect and that nobody has opened since.
 */
export async function markRunning(marker: string): Promise<Suspects> {
  const suspects = await readMarker(marker);
  await replaceFile(marker, EVERY_BLOB);
  return suspects;
}

/** A clean stop: only these blobs stay suspect. */
export async function markStopped(marker: string, suspects: readonly Digest[]): Promise<void> {
  if (suspects.length > 0) return replaceFile(marker, JSON.stringify(suspects));
  await rm(marker, { force: true });
  await syncDirectory(path.dirname(marker));
}

async function readMarker(marker: string): Promise<Suspects> {
  try {
    const listed: unknown = JSON.parse(await readFile(marker, 'utf8'));
    if (!Array.isArray(listed)) return 'all';
    return new Set(listed.filter((item): item is Digest => typeof item === 'string' && isDigest(item)));
  } catch (error) {
    // A marker that cannot be read tells of a stop that was anything but clean.
    return isMissing(error) ? new Set() : 'all';
  }
}

import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { digestHash, digestHex } from '#registry/digest.ts';

import type { Mirror } from '#registry/mirror.ts';
import { FetchError } from './fetch-error.ts';
import type { Descriptor } from '#registry/image-manifest.ts';

/** Told how a blob comes. */
export interface BlobWatcher {
  arrived(bytes: number): void;
  /** The read broke and is about to be tried again. */
  broke(cause: unknown): void;
}

/**
 * Fetches a blob into a file: hashed as it comes, resumed by Range where the connection is cut, moved into place only when
 * size and digest are right.
 * @throws FetchError where they are not; what the read throws; the signal's reason.
 */
export async function fetchBlobFile(
  door: Mirror,
  blob: Descriptor,
  path: string,
  watcher: BlobWatcher,
  signal: AbortSignal,
): Promise<void> {
  const temporary = join(dirname(path), `.shoal-${randomBytes(8).toString('hex')}.part`);
  try {
    await writeVerified(door, blob, temporary, watcher, signal);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function writeVerified(
  door: Mirror,
  { digest, size }: Descriptor,
  path: string,
  watcher: BlobWatcher,
  signal: AbortSignal,
): Promise<void> {
  await using file = await open(path, 'wx', 0o644);
  const hash = digestHash(digest);
  let length = 0;
  const read = door.upstream.readBlob({ ...door.target, reference: digest }, door.auth, signal, {
    onResume: ({ cause }) => watcher.broke(cause),
  });
  for await (const chunk of read) {
    length += chunk.length;
    if (length > size)
      throw new FetchError(`${digest} has more than the ${size} bytes that its manifest names`);
    hash.update(chunk);
    await file.write(chunk);
    watcher.arrived(chunk.length);
  }
  if (length !== size) throw new FetchError(`${digest} has ${length} bytes, its manifest names ${size}`);
  if (hash.digest('hex') !== digestHex(digest))
    throw new FetchError(`the content that came for ${digest} does not match it`);
  await file.sync();
}

/** Whether the file holds exactly that blob. */
export async function holdsBlob(path: string, { digest, size }: Descriptor): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile() || found.size !== size) return false;
  const hash = digestHash(digest);
  const chunks: AsyncIterable<Buffer> = createReadStream(path);
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex') === digestHex(digest);
}

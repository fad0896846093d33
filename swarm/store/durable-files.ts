import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { errorCode } from './errors.ts';

/** Makes the names in a directory (creations, renames, removals) outlive a power failure. */
export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  await handle.sync();
}

/** Makes an empty directory that nobody else may enter; what lies there goes first. */
export async function freshDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { mode: 0o700 });
  }
}

/** Creates or replaces a small file: a reader, also one after a crash, sees the old content or the new, never a part. */
export async function replaceFile(file: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${file}.new`;
  try {
    await writeSynced(temporary, content);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(path.dirname(file));
}

/** Writes a file that nobody else sees yet and flushes it. */
export async function writeSynced(file: string, content: Uint8Array | string): Promise<void> {
  await using handle = await open(file, 'w', 0o600);
  await handle.writeFile(content);
  await handle.sync();
}

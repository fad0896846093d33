import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { describeError } from '#registry/redact.ts';

/**
 * Makes a directory and those above it, one by one: where a file system refuses names, as /proc does, Node's recursive
 * mkdir never comes to an end.
 * @returns the topmost directory that was made; undefined where all were there
 * @throws Error naming the directory, and what above it cannot be used
 */
export async function makeDirectory(directory: string, mode?: number): Promise<string | undefined> {
  const missing: string[] = [];
  let at = resolve(directory);
  while (!(await isDirectory(at, directory))) {
    missing.unshift(at);
    at = dirname(at);
  }
  for (const path of missing) await makeOne(path, directory, mode);
  return missing[0];
}

/** False where there is nothing. */
async function isDirectory(path: string, wanted: string): Promise<boolean> {
  let isOne: boolean;
  try {
    isOne = (await stat(path)).isDirectory();
  } catch (error) {
    // ENOTDIR: what is above it is no directory, which is told when its turn comes.
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if ((code === 'ENOENT' || code === 'ENOTDIR') && path !== dirname(path)) return false;
    throw unusable(wanted, describeError(error), error);
  }
  if (!isOne) throw unusable(wanted, `${path} is not a directory`);
  return true;
}

async function makeOne(path: string, wanted: string, mode: number | undefined): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST' && (await isDirectory(path, wanted))) return;
    throw unusable(wanted, `nothing can be made in ${dirname(path)} (${describeError(error)})`, error);
  }
}

function unusable(wanted: string, why: string, cause?: unknown): Error {
  return new Error(`the directory ${wanted} cannot be made: ${why}`, { cause });
}

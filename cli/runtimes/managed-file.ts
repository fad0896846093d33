import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, open, readFile, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { isJsonObject } from '#registry/json-object.ts';
import { makeDirectory } from '#service/make-directory.ts';

import { RuntimeConfigError } from './edit.ts';
import type { Edit } from './edit.ts';

/** What `apply` and `remove` did to a file. */
export type Change = 'written' | 'unchanged' | 'restored' | 'stripped' | 'deleted' | 'absent';

/** What was in a file before us, the SHA-256 of what we wrote, and the directories that came with it. */
interface Backup {
  /** undefined: there was no file. */
  readonly original: string | undefined;
  readonly written: string;
  /** The topmost directory that was made for the file. */
  readonly made: string | undefined;
}

const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** The backup lies beside the file, under a name that no runtime reads. */
export function backupPath(path: string): string {
  return `${path}.shoal-backup`;
}

/**
 * Puts our part into a file: atomically, with what was there kept beside it. Applied twice it changes nothing more.
 * @throws RuntimeConfigError where the file is malformed; then nothing is changed.
 */
export async function applyEdit(path: string, edit: Edit): Promise<Change> {
  const target = await followLink(path);
  const current = await readText(target);
  const backup = await readBackup(target);
  // Without a backup nothing in the file is known to be ours: a mirror that looks like ours is the operator's.
  const original = backup === undefined ? current : originalOf(current, backup, edit);
  const next = edit.insert(original);
  const made = (await makeDirectory(dirname(target))) ?? backup?.made;
  await writeBackup(target, { original, written: hash(next), made });
  if (next === current) return 'unchanged';
  await writeAtomically(target, next);
  return 'written';
}

/**
 * Takes our part out again: a file untouched since gets its old bytes back (or goes, if it came with us),
 * from one edited since only our part is taken.
 */
export async function removeEdit(path: string, edit: Edit): Promise<Change> {
  const target = await followLink(path);
  const current = await readText(target);
  const backup = await readBackup(target);
  const original = originalOf(current, backup, edit);
  if (original === undefined) await rm(target, { force: true });
  else if (original !== current) await writeAtomically(target, original);
  await rm(backupPath(target), { force: true });
  if (backup?.made !== undefined) await removeDirectories(dirname(target), backup.made);
  if (current === undefined) return 'absent';
  if (original === undefined) return 'deleted';
  if (original === current) return 'unchanged';
  return backup?.written === hash(current) ? 'restored' : 'stripped';
}

/** From the file's directory up to the topmost that was made for it; one that holds something else by now stays. */
async function removeDirectories(directory: string, top: string): Promise<void> {
  for (let at = directory; at === top || at.startsWith(`${top}/`); at = dirname(at)) {
    const removed = await rmdir(at).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}

function originalOf(current: string | undefined, backup: Backup | undefined, edit: Edit): string | undefined {
  if (current === undefined) return undefined;
  return backup?.written === hash(current) ? backup.original : edit.strip(current);
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The file behind a symbolic link, so that the link stays one. */
async function followLink(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

async function readText(path: string): Promise<string | undefined> {
  const bytes = await readBytes(path);
  if (bytes === undefined) return undefined;
  if (bytes.length > MAX_FILE_BYTES)
    throw new RuntimeConfigError(
      `${path} has ${bytes.length} bytes, more than the ${MAX_FILE_BYTES} that are read; nothing was changed`,
    );
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new RuntimeConfigError(`${path} is not UTF-8; nothing was changed`, { cause });
  }
}

async function readBytes(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function readBackup(path: string): Promise<Backup | undefined> {
  const text = await readText(backupPath(path));
  if (text === undefined) return undefined;
  const value = parseJson(text);
  const { original, written, made } = isJsonObject(value) ? value : {};
  if (typeof written === 'string' && isTextOrNull(original) && isTextOrNull(made))
    return { original: original ?? undefined, written, made: made ?? undefined };
  throw new RuntimeConfigError(
    `${backupPath(path)} is not a backup made by "shoal config"; nothing was changed`,
  );
}

function isTextOrNull(value: unknown): value is string | null {
  return typeof value === 'string' || value === null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // told by the caller
  }
}

/** Only the owner reads it: a runtime's file may hold credentials. */
async function writeBackup(path: string, { original, written, made }: Backup): Promise<void> {
  const text = `${JSON.stringify({ original: original ?? null, written, made: made ?? null })}\n`;
  if ((await readText(backupPath(path))) !== text) await writeAtomically(backupPath(path), text, 0o600);
}

/** Temporary file, fsync, rename; mode and owner stay those of the file replaced. */
async function writeAtomically(path: string, text: string, newMode = 0o644): Promise<void> {
  const replaced = await stat(path).catch(() => undefined);
  const temporary = join(dirname(path), `.shoal-${randomBytes(6).toString('hex')}`);
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await chmod(temporary, (replaced?.mode ?? newMode) & 0o7777);
  if (replaced) await chown(temporary, replaced.uid, replaced.gid).catch(() => {}); // only root may give a file away
  await rename(temporary, path);
}

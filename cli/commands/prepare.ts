import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { chmod, chown, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { UsageError } from '#cli/failure.ts';
import { ANONYMOUS_FILE } from '#origin/defaults.ts';
import { quote } from '#registry/redact.ts';
import { claimDataDirectory, isLockName } from '#service/data-directory.ts';
import { makeDirectory } from '#service/make-directory.ts';
import { STORE_DIRECTORIES, STORE_ROOT } from '#swarm/store/layout.ts';

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** As claimed data directories are: of their owner only. */
const MODE = 0o700;
/** What a new volume of ext4 has in it. */
const VOLUME_ROOT_ENTRY = 'lost+found';

export function register(program: Command): void {
  program
    .command('prepare')
    .description('Makes a data directory for a part that does not run as root, or empties it for good.')
    .argument('<dir>', 'the store.path of the part')
    .option('--owner <uid:gid>', 'whom it is to belong to; what is in it stays', parseOwner)
    .option('--empty', 'remove all that is in it, where it is a store that no part uses')
    .action(prepare);
}

async function prepare(
  directory: string,
  { owner, empty }: { owner?: Owner; empty?: boolean },
): Promise<void> {
  if ((owner === undefined) === (empty !== true))
    throw new UsageError('--owner, --empty: one of them is needed');
  await (owner === undefined ? removeContent(directory) : handOver(directory, owner));
}

/**
 * Only what is empty, or a store: a directory that others use would be closed to them.
 * @throws Error where it is neither
 */
async function handOver(directory: string, owner: Owner): Promise<void> {
  await makeDirectory(directory);
  const { uid, gid } = await stat(directory);
  if (uid === owner.uid && gid === owner.gid) return;
  const names = await namesIn(directory);
  if (names.length > 0) await expectStore(directory, names, 'it was left as it is');
  await chmod(directory, MODE); // before it is another's
  await chown(directory, owner.uid, owner.gid);
}

/**
 * Only of a store, and of none that a part is using. The directory itself may be a mount.
 * @throws Error where it is neither
 */
async function removeContent(directory: string): Promise<void> {
  const names = await namesIn(directory);
  if (names.length === 0) return;
  await expectStore(directory, names, 'nothing was removed');
  await using _claimed = await claimDataDirectory(directory);
  for (const name of names) if (name !== STORE_ROOT && !isLockName(name)) await remove(join(directory, name));
  // What it is known by goes last, and empty: broken off, this can be done again.
  const root = join(directory, STORE_ROOT);
  for (const inside of STORE_DIRECTORIES)
    for (const name of await readdir(join(root, inside))) await remove(join(root, inside, name));
  for (const name of [STORE_ROOT, ...names.filter(isLockName)]) await remove(join(directory, name));
}

/** What is in a directory, beside what its file system has there. */
async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name !== VOLUME_ROOT_ENTRY);
}

/** @throws Error, with what became of the directory, where one of its names is nobody's of Shoal, or the layout is not there */
async function expectStore(directory: string, names: readonly string[], left: string): Promise<void> {
  const foreign = names.find((name) => !isOurs(name));
  if (foreign !== undefined)
    throw new Error(
      `${directory} is no part's store, for there is ${quote(foreign)} in it, which Shoal does not make: ${left}`,
    );
  const missing = await missingDirectory(directory);
  if (missing !== undefined)
    throw new Error(
      `${directory} is no part's store, for there is no directory ${missing} in it, and not empty: ${left}`,
    );
}

function isOurs(name: string): boolean {
  return [STORE_ROOT, ANONYMOUS_FILE, `${ANONYMOUS_FILE}.new`].includes(name) || isLockName(name);
}

/** The first of the layout's that is not there, or is something else; links do not count, for they lead elsewhere. */
async function missingDirectory(directory: string): Promise<string | undefined> {
  if (!(await directoriesIn(directory)).includes(STORE_ROOT)) return STORE_ROOT;
  const there = await directoriesIn(join(directory, STORE_ROOT));
  const missing = STORE_DIRECTORIES.find((name) => !there.includes(name));
  return missing && join(STORE_ROOT, missing);
}

async function directoriesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

const remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true });

function parseOwner(text: string): Owner {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (uid === undefined || gid === undefined)
    throw new InvalidArgumentError('two numbers are allowed, such as 65532:65532');
  return { uid: Number(uid), gid: Number(gid) };
}

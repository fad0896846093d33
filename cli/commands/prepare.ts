import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { chmod, chown, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { UsageError } from '#cli/failure.ts';
import { claimDataDirectory } from '#service/data-directory.ts';
import { makeDirectory } from '#service/make-directory.ts';
import { STORE_ROOT } from '#swarm/store/layout.ts';

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
  const names = await readdir(directory);
  if (!names.includes(STORE_ROOT) && names.some((name) => name !== VOLUME_ROOT_ENTRY))
    throw new Error(
      `${directory} is no part's store, for there is no ${STORE_ROOT} in it, and not empty: it was left as it is`,
    );
  await chmod(directory, MODE); // before it is another's
  await chown(directory, owner.uid, owner.gid);
}

/**
 * Only of a store, which is known by the directory of its layout, and of none that a part is using. The directory itself may be a mount.
 * @throws Error where it is neither
 */
async function removeContent(directory: string): Promise<void> {
  const names = await readdir(directory);
  if (names.length === 0) return;
  if (!names.includes(STORE_ROOT))
    throw new Error(
      `${directory} is no part's store, for there is no ${STORE_ROOT} in it: nothing was removed`,
    );
  await using _claimed = await claimDataDirectory(directory);
  // What it is known by goes last: broken off, this can be done again.
  for (const name of [...names.filter((other) => other !== STORE_ROOT), STORE_ROOT])
    await rm(join(directory, name), { recursive: true, force: true });
}

function parseOwner(text: string): Owner {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (uid === undefined || gid === undefined)
    throw new InvalidArgumentError('two numbers are allowed, such as 65532:65532');
  return { uid: Number(uid), gid: Number(gid) };
}

import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { chmod, chown, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { UsageError } from '#cli/failure.ts';

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** As claimed data directories are: of their owner only. */
const MODE = 0o700;

export function register(program: Command): void {
  program
    .command('prepare')
    .description('Makes a data directory for a part that does not run as root, or empties it for good.')
    .argument('<dir>', 'the store.path of the part')
    .option('--owner <uid:gid>', 'whom it is to belong to; what is in it stays', parseOwner)
    .option('--empty', 'remove all that is in it')
    .action(prepare);
}

async function prepare(
  directory: string,
  { owner, empty }: { owner?: Owner; empty?: boolean },
): Promise<void> {
  if ((owner === undefined) === (empty !== true))
    throw new UsageError('--owner, --empty: one of them is needed');
  if (owner === undefined) return removeContent(directory);
  await mkdir(directory, { recursive: true });
  const { uid, gid } = await stat(directory);
  if (uid === owner.uid && gid === owner.gid) return;
  await chmod(directory, MODE); // before it is another's
  await chown(directory, owner.uid, owner.gid);
}

/** The directory itself may be a mount. */
async function removeContent(directory: string): Promise<void> {
  for (const name of await readdir(directory)) await rm(join(directory, name), { recursive: true });
}

function parseOwner(text: string): Owner {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (uid === undefined || gid === undefined)
    throw new InvalidArgumentError('two numbers are allowed, such as 65532:65532');
  return { uid: Number(uid), gid: Number(gid) };
}

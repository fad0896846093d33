import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { chmod, chown, mkdir, stat } from 'node:fs/promises';

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** As claimed data directories are: of their owner only. */
const MODE = 0o700;

export function register(program: Command): void {
  program
    .command('prepare')
    .description('Makes a data directory for a part that does not run as root; what is in it stays.')
    .argument('<dir>', 'the store.path of the part')
    .requiredOption('--owner <uid:gid>', 'whom it is to belong to', parseOwner)
    .action(async (directory: string, { owner }: { owner: Owner }) => {
      await mkdir(directory, { recursive: true });
      const { uid, gid } = await stat(directory);
      if (uid === owner.uid && gid === owner.gid) return;
      await chmod(directory, MODE); // before it is another's
      await chown(directory, owner.uid, owner.gid);
    });
}

function parseOwner(text: string): Owner {
  const [, uid, gid] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
  if (uid === undefined || gid === undefined)
    throw new InvalidArgumentError('two numbers are allowed, such as 65532:65532');
  return { uid: Number(uid), gid: Number(gid) };
}

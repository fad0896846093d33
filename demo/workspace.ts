import { rmSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBytes } from './units.ts';

export interface Workspace extends AsyncDisposable {
  readonly path: string;
}

/**
 * A directory that is gone when its scope, or the process, ends.
 * @throws Error when the disk has not that many bytes to spare
 */
export async function openWorkspace(neededBytes: number): Promise<Workspace> {
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < neededBytes)
    throw new Error(
      `the demo needs ${formatBytes(neededBytes)} in ${tmpdir()}, which has ${formatBytes(bavail * bsize)} left: ` +
        'name another directory in TMPDIR, or ask for a smaller image with --image-size',
    );
  const path = await mkdtemp(join(tmpdir(), 'shoal-demo-'));
  const removeNow = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', removeNow);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
      process.off('exit', removeNow);
    },
  };
}

import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { TarEntry } from '../../demo/tar.ts';
import { bundlePrograms } from './bundle.ts';
import { command } from './command.ts';
import { entriesBelow } from './tree.ts';

/** Where the programs lie in the image. */
export const HOME = 'opt/shoal';

/**
 * The programs, joined with the packages that they use, which are installed from package-lock.json.
 * @param folders of the project that the programs are in.
 * @param scratch a directory that nobody else uses.
 */
export async function prepareApplication(
  project: string,
  folders: readonly string[],
  scratch: string,
): Promise<TarEntry[]> {
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { recursive: true });
  for (const name of ['package.json', 'package-lock.json', 'LICENSE', ...folders])
    await cp(join(project, name), join(scratch, name), { recursive: true });
  const quiet = ['--no-audit', '--no-fund', '--loglevel', 'error'];
  await command('npm', ['ci', '--omit=dev', '--ignore-scripts', ...quiet], { cwd: scratch });
  const bundle = join(scratch, 'bundle');
  await bundlePrograms(scratch, bundle);
  return entriesBelow(bundle, HOME);
}

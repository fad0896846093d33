import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { TarEntry } from '../../demo/tar.ts';
import { command } from './command.ts';
import { copyPlain } from './plain-modules.ts';
import { entriesBelow } from './tree.ts';

/** Where the programs lie in the image. */
export const HOME = 'opt/shoal';

/**
 * The programs, without their types, and the packages that they use, installed from package-lock.json.
 * @param folders of the project that the programs are in.
 * @param scratch a directory that nobody else uses.
 */
export async function prepareApplication(
  project: string,
  folders: readonly string[],
  scratch: string,
): Promise<{ packages: TarEntry[]; programs: TarEntry[] }> {
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { recursive: true });
  for (const file of ['package.json', 'package-lock.json', 'LICENSE'])
    await cp(join(project, file), join(scratch, file));
  const quiet = ['--no-audit', '--no-fund', '--loglevel', 'error'];
  await command('npm', ['ci', '--omit=dev', '--ignore-scripts', ...quiet], { cwd: scratch });
  await copyPlain(project, folders, scratch);
  const packages = await entriesBelow(join(scratch, 'node_modules'), `${HOME}/node_modules`, isRunTime);
  const all = await entriesBelow(scratch, HOME, isProgram);
  return { packages, programs: all };
}

/** What npm installs and nothing at run time reads: links to commands, npm's own notes, types, maps and manuals. */
export function isRunTime(path: string): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (path.startsWith('.bin/') || path === '.package-lock.json') return false;
  return (
    !/\.(?:d\.[cm]?ts|map)$/.test(name) && !/^(?!licen[cs]e|notice|copying).*\.(?:md|markdown)$/i.test(name)
  );
}

/** The project's own: modules, data and the licence. */
function isProgram(path: string): boolean {
  return (
    !path.startsWith('node_modules/') && (path.endsWith('.js') || /^(?:package\.json|LICENSE)$/.test(path))
  );
}

import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyPlain } from '../../deploy/image/plain-modules.ts';
import { programFolders } from '../../deploy/image/source.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Lays out the programs as the container image holds them: JavaScript without types, so that no part measured here
 * carries a stripper that no part in a cluster does.
 * @param directory is made
 * @returns the path of the `shoal` command
 */
export async function layPrograms(directory: string): Promise<string> {
  await mkdir(directory);
  const manifest = join(PROJECT, 'package.json');
  const { imports }: { imports: Record<string, string> } = JSON.parse(await readFile(manifest, 'utf8'));
  await copyPlain(PROJECT, programFolders(imports), directory);
  await cp(manifest, join(directory, 'package.json'));
  await symlink(join(PROJECT, 'node_modules'), join(directory, 'node_modules'));
  return join(directory, 'cli', 'shoal.js');
}

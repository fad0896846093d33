import { cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makePlain } from '../../deploy/image/plain-modules.ts';

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
  for (const folder of Object.keys(imports).map((name) => name.slice(1, -2))) {
    await cp(join(PROJECT, folder), join(directory, folder), { recursive: true });
    await makePlain(join(directory, folder));
  }
  await cp(manifest, join(directory, 'package.json'));
  await symlink(join(PROJECT, 'node_modules'), join(directory, 'node_modules'));
  return join(directory, 'cli', 'shoal.js');
}

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundlePrograms } from '../../deploy/image/bundle.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Lays out the programs as the container image holds them, so that no part measured here carries what no part in a
 * cluster does.
 * @param directory is made, or emptied
 * @returns the path of the `shoal` command
 */
export async function layPrograms(directory: string): Promise<string> {
  await bundlePrograms(PROJECT, directory);
  return join(directory, 'cli', 'shoal.js');
}

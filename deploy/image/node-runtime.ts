import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { command } from './command.ts';
import type { Platform } from './platform.ts';

/** The npm package that holds Node for a platform, as a .tgz in `directory`. @throws CommandError */
export async function packNode(
  version: string,
  { npm }: Platform,
  directory: string,
): Promise<{ file: string; integrity: string }> {
  const args = ['pack', `node-linux-${npm}@${version}`, '--json', '--pack-destination', directory];
  const [packed]: { filename: string; integrity: string }[] = JSON.parse(await command('npm', args));
  if (packed === undefined) throw new TypeError(`npm packed no node-linux-${npm}@${version}`);
  return { file: join(directory, packed.filename), integrity: packed.integrity };
}

/** The program and its licence; headers and npm stay behind. The package itself is removed. */
export async function unpackNode(file: string, directory: string): Promise<void> {
  const members = ['package/bin/node', 'package/LICENSE'];
  await command('tar', ['--extract', '--file', file, '--directory', directory, ...members]);
  const [bin, doc] = [join(directory, 'usr', 'bin'), join(directory, 'usr', 'share', 'doc', 'node')];
  await mkdir(bin, { recursive: true });
  await mkdir(doc, { recursive: true });
  await rename(join(directory, 'package', 'bin', 'node'), join(bin, 'node'));
  await chmod(join(bin, 'node'), 0o755);
  await rename(join(directory, 'package', 'LICENSE'), join(doc, 'copyright'));
  await rm(join(directory, 'package'), { recursive: true });
  await rm(file);
}

import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';

/**
 * Turns TypeScript modules into JavaScript by Node's own type stripping: same lines, same columns. A process of the image
 * need not load the stripper then, which takes about 20 MB and most of the time of a start.
 */

/** Another module of the project, as it is named in an import or a URL. */
const MODULE = /(?<quote>['"])(?<path>(?:\.{1,2}\/|#)[^'"\n]+)\.ts\k<quote>/gu;

export function plainModule(text: string): string {
  return stripTypeScriptTypes(text).replaceAll(MODULE, '$<quote>$<path>.js$<quote>');
}

/** All below a directory, in place: `x.ts` becomes `x.js`. */
export async function makePlain(directory: string): Promise<void> {
  for (const name of await readdir(directory, { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const path = join(directory, name);
    await writeFile(path.replace(/ts$/, 'js'), plainModule(await readFile(path, 'utf8')));
    await rm(path);
  }
}

/** Copies folders of the project into a directory, without their types. */
export async function copyPlain(
  project: string,
  folders: readonly string[],
  directory: string,
): Promise<void> {
  for (const folder of folders) {
    await cp(join(project, folder), join(directory, folder), { recursive: true });
    await makePlain(join(directory, folder));
  }
}

if (import.meta.main) for (const directory of process.argv.slice(2)) await makePlain(directory);

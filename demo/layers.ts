import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesBelow, type LayerSpec } from './image.ts';
import type { TarEntry } from './tar.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const PROGRAMS = ['agent', 'cli', 'origin', 'registry', 'service', 'swarm', 'tracker'];
const MAX_PROGRAM_BYTES = 2_000_000;
/** Of the image: what the installed packages may take, and how the rest is shared out. */
const PACKAGES_SHARE = 0.4;
const DATA_SHARES = [0.4, 0.3, 0.2, 0.1];
const TAR_BLOCK = 512;

/**
 * What goes into the demo's image, as in an application's: the programs, the packages that they use (both of them this
 * project's own files), and data; together about, and not less than, so many bytes.
 */
export async function chooseLayers(imageBytes: number): Promise<LayerSpec[]> {
  const programs = await readPrograms();
  const modules = join(PROJECT, 'node_modules');
  const packages = await filesBelow(modules, 'app/node_modules', imageBytes * PACKAGES_SHARE);
  const left = Math.max(0, imageBytes - packages.reduce((total, entry) => total + archivedBytes(entry), 0));
  return [
    { files: programs },
    // Not compressed, so that its length is known beforehand.
    { files: packages, compression: 'none' },
    ...DATA_SHARES.map((share) => Math.ceil(left * share)),
  ];
}

/** In memory: they are small, and may be worked on meanwhile. */
async function readPrograms(): Promise<TarEntry[]> {
  const share = MAX_PROGRAM_BYTES / PROGRAMS.length;
  const entries: TarEntry[] = [];
  for (const name of PROGRAMS) {
    for (const entry of await filesBelow(join(PROJECT, name), `app/${name}`, share)) {
      if (entry.type !== 'file' || entry.source.kind !== 'disk') continue;
      entries.push({ ...entry, source: { kind: 'bytes', bytes: await readFile(entry.source.path) } });
    }
  }
  return entries;
}

/** At least what the entry takes in a tar archive. */
function archivedBytes(entry: TarEntry): number {
  if (entry.type !== 'file' || entry.source.kind !== 'disk') return 0;
  return TAR_BLOCK + Math.ceil(entry.source.size / TAR_BLOCK) * TAR_BLOCK;
}

import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

import type { TarEntry } from '../../demo/tar.ts';

/**
 * What lies below a directory, sorted, with the directories in front of what they hold, so that equal trees make
 * equal archives. Files are 0755 where their owner may execute them, else 0644.
 * @param as where it goes in the archive; '' is the root.
 * @param isWanted by path relative to the directory; directories that hold nothing wanted are left out.
 */
export async function entriesBelow(
  directory: string,
  as: string,
  isWanted: (path: string) => boolean = () => true,
): Promise<TarEntry[]> {
  const parents = as === '' ? [] : parentsOf(as);
  return [...parents, ...(await walk({ directory, isWanted, prefix: as === '' ? '' : `${as}/` }, ''))];
}

interface Walk {
  readonly directory: string;
  readonly isWanted: (path: string) => boolean;
  /** Of the names in the archive. */
  readonly prefix: string;
}

async function walk(of: Walk, below: string): Promise<TarEntry[]> {
  const items = await readdir(join(of.directory, below), { withFileTypes: true });
  const entries: TarEntry[] = [];
  for (const item of items.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const relative = below === '' ? item.name : `${below}/${item.name}`;
    const [name, path] = [of.prefix + relative, join(of.directory, relative)];
    if (item.isDirectory()) {
      const inside = await walk(of, relative);
      if (inside.length > 0) entries.push({ type: 'directory', name }, ...inside);
    } else if (!of.isWanted(relative)) continue;
    else if (item.isSymbolicLink()) entries.push({ type: 'symlink', name, target: await readlink(path) });
    else if (item.isFile()) entries.push(await fileEntry(name, path));
  }
  return entries;
}

async function fileEntry(name: string, path: string): Promise<TarEntry> {
  const { size, mode } = await stat(path);
  const source = { kind: 'disk', path, size } as const;
  return { type: 'file', name, mode: (mode & 0o100) === 0 ? 0o644 : 0o755, source };
}

function parentsOf(path: string): TarEntry[] {
  const names = path.split('/');
  return names.map((_, index) => ({ type: 'directory', name: names.slice(0, index + 1).join('/') }));
}

export function textEntry(name: string, content: string): TarEntry {
  return { type: 'file', name, source: { kind: 'bytes', bytes: Buffer.from(content) } };
}

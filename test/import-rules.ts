import { posix } from 'node:path';

/** A source file and its text; the path is relative to the project, with `/`. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** What files of a folder may import: folders, single files, `node:` or `packages`. */
export type AllowList = Readonly<Record<string, readonly string[]>>;

interface Breach {
  readonly file: string;
  readonly imported: string;
  readonly reason: string;
}

const IMPORTS = [
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*(['"])(?<name>[^'"]+)\1/gmu,
  /^\s*import\s*(['"])(?<name>[^'"]+)\1/gmu,
  /\bimport\s*\(\s*(['"`])(?<name>[^'"`]+)\1/gu,
];

/** The names that a module imports, statically or dynamically, types too. */
export function importsOf(text: string): string[] {
  const code = text.replaceAll(/\/\*.*?\*\//gsu, '').replaceAll(/^\s*\/\/.*$/gmu, '');
  return IMPORTS.flatMap((form) => [...code.matchAll(form)].map((match) => match.groups!['name']!));
}

/** The unit of the rules that a path belongs to: a folder of swarm/, or a top-level one. */
function folderOf(path: string): string {
  const [top, below, ...rest] = path.split('/');
  return top === 'swarm' && rest.length > 0 ? `${top}/${below}` : top!;
}

/** The project's path behind an import; undefined for packages and `node:` modules. */
function resolve(importer: string, name: string): string | undefined {
  if (name.startsWith('#')) return name.slice(1);
  if (name.startsWith('.')) return posix.join(posix.dirname(importer), name);
  return undefined;
}

/** Every import that the list does not allow. A folder may always import itself. */
export function breaches(files: readonly SourceFile[], allowed: AllowList): Breach[] {
  return files.flatMap(({ path, text }) =>
    importsOf(text).flatMap((imported) => {
      const reason = breachOf(path, imported, allowed);
      return reason === undefined ? [] : [{ file: path, imported, reason }];
    }),
  );
}

function breachOf(path: string, name: string, allowed: AllowList): string | undefined {
  const folder = folderOf(path);
  const list = allowed[folder];
  if (!list) return `${folder}/ is in no list`;
  const target = resolve(path, name);
  if (target === undefined) {
    const kind = name.startsWith('node:') ? 'node:' : 'packages';
    return list.includes(kind) ? undefined : `${folder}/ may not import ${kind}`;
  }
  const to = folderOf(target);
  if (to === folder) return undefined;
  if (!name.startsWith('#') && target.includes('/')) return `other folders are imported by #${to}/`;
  return list.includes(to) || list.includes(target) ? undefined : `${folder}/ may not import ${target}`;
}

/** Names by `#` whose first part is none of `declared`, such as `#swarm/*`. */
export function undeclaredNames(files: readonly SourceFile[], declared: readonly string[]): string[] {
  const prefixes = declared.map((pattern) => pattern.replace('*', ''));
  return files
    .flatMap(({ text }) => importsOf(text))
    .filter((name) => name.startsWith('#') && !prefixes.some((prefix) => name.startsWith(prefix)));
}

/** Imports of the project's that lead to no file. */
export function danglingImports(files: readonly SourceFile[]): Breach[] {
  const known = new Set(files.map(({ path }) => path));
  return files.flatMap(({ path, text }) =>
    importsOf(text)
      .filter((name) => {
        const target = resolve(path, name);
        return target !== undefined && target.endsWith('.ts') && !known.has(target);
      })
      .map((imported) => ({ file: path, imported, reason: 'there is no such file' })),
  );
}

/** Folders that import each other in a circle, as `[a, b, a]`; empty where there is none. */
export function folderCycle(files: readonly SourceFile[]): string[] {
  const graph = new Map<string, Set<string>>();
  for (const { path, text } of files) {
    const targets = importsOf(text).flatMap((name) => resolve(path, name) ?? []);
    const from = folderOf(path);
    const edges = graph.get(from) ?? new Set();
    for (const to of targets.map(folderOf)) if (to !== from) edges.add(to);
    graph.set(from, edges);
  }
  const done = new Set<string>();
  for (const folder of graph.keys()) {
    const cycle = cycleFrom(folder, graph, [], done);
    if (cycle.length > 0) return cycle;
  }
  return [];
}

function cycleFrom(
  folder: string,
  graph: ReadonlyMap<string, ReadonlySet<string>>,
  above: readonly string[],
  done: Set<string>,
): string[] {
  if (above.includes(folder)) return [...above.slice(above.indexOf(folder)), folder];
  if (done.has(folder)) return [];
  for (const next of graph.get(folder) ?? []) {
    const cycle = cycleFrom(next, graph, [...above, folder], done);
    if (cycle.length > 0) return cycle;
  }
  done.add(folder);
  return [];
}

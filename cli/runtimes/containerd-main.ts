import { glob, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { TomlTable } from 'smol-toml';

import { isTable, parseToml, tableAt } from './toml.ts';

/** Where containerd's CRI plugin keeps its registry settings, by configuration version. */
const REGISTRY_TABLES: readonly (readonly string[])[] = [
  ['plugins', 'io.containerd.cri.v1.images', 'registry'],
  ['plugins', 'io.containerd.grpc.v1.cri', 'registry'],
  ['plugins', 'cri', 'registry'],
];

const DEFAULT_MAIN = '/etc/containerd/config.toml';

/** Where the mirrors' files are to be where nothing says otherwise: beside the main file, as containerd's documentation has it. */
export function defaultCerts({ main = DEFAULT_MAIN }: MainPlace): string {
  return join(dirname(main), 'certs.d');
}

export interface ContainerdMain {
  /** The directory of the `<registry>/hosts.toml` files, without the root prefix; undefined where containerd looks nowhere. */
  readonly certs?: string;
  /** What the operator must change so that it looks there. */
  readonly advice?: string;
}

export interface MainPlace {
  /** The configuration file, without the root prefix. */
  readonly main?: string;
  /** How an operator changes it; where it is a file that one edits, that need not be said. */
  readonly remedy?: string;
}

/**
 * Reads containerd's main configuration, with its imports, for where it looks for hosts.toml files.
 * @throws RuntimeConfigError where it is malformed.
 */
export async function readContainerdMain(root: string, place: MainPlace = {}): Promise<ContainerdMain> {
  const path = place.main ?? DEFAULT_MAIN;
  const main = await readTable(root, path);
  const certs = defaultCerts(place);
  if (main === undefined) return { advice: adviseBoth(path, certs, place.remedy) };
  const tables = [...(await readImports(root, path, main)), main];
  const registries = tables.flatMap(registryTables);
  const configPath = registries
    .map((registry) => registry['config_path'])
    .find((value) => typeof value === 'string' && value !== '');
  const remedy = place.remedy ?? `Add to ${path} and restart containerd`;
  if (typeof configPath === 'string') return readConfigPath(configPath, tables, place.remedy ?? path);
  const hasMirrors = registries.some((registry) => isTable(registry['mirrors']));
  return { advice: advise(remedy, certs, main, hasMirrors) };
}

/** From 2.1 on, containerd takes a list of directories for one, unless the client pulls and not the transfer service (containerd issue 12808). */
function readConfigPath(configPath: string, tables: readonly TomlTable[], where: string): ContainerdMain {
  const [certs = configPath] = configPath.split(':');
  if (certs === configPath || tables.some(pullsByClient)) return { certs };
  const advice = `containerd 2.1 and later may take config_path = "${configPath}" for one directory, and would find no mirror there. Make it config_path = "${certs}" (${where})`;
  return { certs, advice };
}

function pullsByClient(table: TomlTable): boolean {
  const images = tableAt(table, ['plugins', 'io.containerd.cri.v1.images']);
  const older = tableAt(table, ['plugins', 'io.containerd.grpc.v1.cri', 'containerd']);
  return (
    images?.['use_local_image_pull'] === true ||
    [images, older].some((found) => found?.['discard_unpacked_layers'] === true)
  );
}

function registryTables(table: TomlTable): TomlTable[] {
  return REGISTRY_TABLES.map((keys) => tableAt(table, keys)).filter((found) => found !== undefined);
}

async function readTable(root: string, path: string): Promise<TomlTable | undefined> {
  try {
    return parseToml(await readFile(join(root, path), 'utf8'), path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** containerd merges the files that `imports` names (globs, relative to the main file) over the main one. */
async function readImports(root: string, path: string, main: TomlTable): Promise<TomlTable[]> {
  const { imports } = main;
  const patterns = Array.isArray(imports) ? imports.filter((item) => typeof item === 'string') : [];
  const found: TomlTable[] = [];
  for (const pattern of patterns) {
    const absolute = join(root, resolve(dirname(path), pattern));
    for await (const file of glob(absolute)) {
      const table = await readTable('/', file);
      if (table) found.unshift(table); // the last one counts first
    }
  }
  return found;
}

function advise(remedy: string, certs: string, main: TomlTable, hasMirrors: boolean): string {
  const table = REGISTRY_TABLES[main['version'] === 3 ? 0 : 1] ?? [];
  const move = hasMirrors
    ? '\nThe registry.mirrors that stand there must go: containerd refuses to start with both. Move them to hosts.toml files.'
    : '';
  return `containerd does not look for mirrors yet; nothing was written. ${remedy}:\n\n${lines(table, certs)}\n${move}`;
}

function adviseBoth(path: string, certs: string, remedy = 'Make it and restart containerd'): string {
  const [second = [], first = []] = REGISTRY_TABLES;
  return (
    `there is no ${path}, so containerd does not look for mirrors yet; nothing was written. ${remedy}. For containerd 2.x:\n\n` +
    `version = 3\n${lines(second, certs)}\n\nFor containerd 1.x:\n\nversion = 2\n${lines(first, certs)}\n`
  );
}

function lines(table: readonly string[], certs: string): string {
  const header = table.map((key) => (key.includes('.') ? `"${key}"` : key)).join('.');
  return `[${header}]\n  config_path = "${certs}"`;
}

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import type { TomlTable } from 'smol-toml';

import { markBlock, RuntimeConfigError, stripBlocks } from './edit.ts';
import type { Edit } from './edit.ts';
import { isTable, parseToml } from './toml.ts';

/** Our drop-in for podman, buildah, skopeo and CRI-O. Letters sort after digits: it is read after numbered ones. */
export const DROP_IN = '/etc/containers/registries.conf.d/shoal.conf';

/**
 * Our drop-in (containers-registries.conf(5)): for each registry a mirror in path form, asked before all others.
 * A `[[registry]]` of a later file replaces one of an earlier for the same prefix, so `existing` entries are carried over.
 * A name with a port is refused when it is written: in path form no client takes it, and none would try the registry itself then.
 */
export function registriesEdit(
  registries: readonly string[],
  agent: URL,
  existing: ReadonlyMap<string, TomlTable>,
): Edit {
  const block = markBlock(
    stringify({ registry: registries.map((registry) => entry(registry, agent, existing.get(registry))) })
      .trimEnd()
      .split('\n'),
  );
  return {
    insert: (text) => {
      expectNameable(registries);
      return text === undefined ? block : `${endLine(text)}${block}`;
    },
    strip: stripBlocks,
  };
}

/** @throws RuntimeConfigError */
function expectNameable(registries: readonly string[]): void {
  const unnameable = registries.find((registry) => registry.includes(':'));
  if (unnameable !== undefined)
    throw new RuntimeConfigError(
      `${unnameable} has a port, which cannot be part of a mirror's path; give the registry a name without one ` +
        '(upstreams.hosts.<name>.endpoint of agents and origins) and name that; nothing was changed',
    );
}

function entry(registry: string, agent: URL, existing: TomlTable | undefined): TomlTable {
  const ours = { location: `${agent.host}/${registry}`, insecure: agent.protocol === 'http:' };
  const mirrors = existing?.['mirror'];
  const others = Array.isArray(mirrors) ? mirrors.filter((mirror) => isTable(mirror)) : [];
  return { location: registry, ...existing, prefix: registry, mirror: [ours, ...others] };
}

function endLine(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

/** The entries by prefix that the node's other files have, the last of each. @throws RuntimeConfigError */
export async function readRegistries(root: string): Promise<Map<string, TomlTable>> {
  const directory = '/etc/containers/registries.conf.d';
  const names = (await readdir(join(root, directory)).catch(() => []))
    .filter((name) => name.endsWith('.conf'))
    .sort();
  const paths = ['/etc/containers/registries.conf', ...names.map((name) => `${directory}/${name}`)];
  const found = new Map<string, TomlTable>();
  for (const path of paths.filter((other) => other !== DROP_IN)) {
    const text = await readFile(join(root, path), 'utf8').catch(() => '');
    for (const table of registryTables(parseToml(text, path))) {
      const prefix = table['prefix'] ?? table['location'];
      if (typeof prefix === 'string') found.set(prefix, table);
    }
  }
  return found;
}

function registryTables(table: TomlTable): TomlTable[] {
  const { registry } = table;
  return Array.isArray(registry) ? registry.filter((item) => isTable(item)) : [];
}

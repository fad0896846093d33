import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { leadsTo } from './containerd-hosts.ts';
import type { Certificates } from './containerd-hosts.ts';

/** Stands for all registries that have no directory of their own. */
export const ALL_REGISTRIES = '_default';

/**
 * The directory of a registry in containerd's directory of them: for `host:5000` it looks for `host_5000_` before
 * `host:5000` itself.
 */
export async function directoryOf(certs: string, registry: string): Promise<string> {
  const escaped = registry.replace(/:(\d+)$/u, '_$1_');
  const found = await stat(join(certs, escaped)).catch(() => undefined);
  return found?.isDirectory() === true ? escaped : registry;
}

/**
 * Registries that containerd does not ask the agent for, though the agent stands in `_default`: they have a directory of
 * their own, which counts in its place whatever is in it.
 */
export async function registriesBeside(certs: string, agent: URL): Promise<string[]> {
  const entries = await readdir(certs, { withFileTypes: true }).catch(() => []);
  const names = entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && entry.name !== ALL_REGISTRIES)
    .map(({ name }) => name);
  const beside: string[] = [];
  for (const name of names.sort()) {
    const path = join(certs, name, 'hosts.toml');
    const text = await readFile(path, 'utf8').catch(() => '');
    if (!leadsTo(text, agent, path)) beside.push(name.replace(/_(\d+)_$/u, ':$1'));
  }
  return beside;
}

/** Their paths on the node. */
export async function certificatesIn(root: string, directory: string): Promise<Certificates> {
  const names = (await readdir(join(root, directory)).catch((): string[] => [])).sort();
  const path = (name: string): string => `${directory}/${name}`;
  const clients = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => [name, name.replace(/cert$/u, 'key')] as const)
    .filter(([, key]) => names.includes(key));
  return {
    authorities: names.filter((name) => name.endsWith('.crt')).map(path),
    clients: clients.map(([certificate, key]) => [path(certificate), path(key)] as const),
  };
}

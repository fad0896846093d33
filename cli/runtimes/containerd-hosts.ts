import { markBlock, RuntimeConfigError, stripBlocks } from './edit.ts';
import type { Edit } from './edit.ts';
import { firstTableOffset, isTable, parseToml, quoteToml } from './toml.ts';

/** Certificates for a registry in docker's manner, which containerd heeds only where there is no hosts.toml (containerd docs/hosts.md). */
export interface Certificates {
  readonly authorities: readonly string[];
  /** Certificate and key. */
  readonly clients: readonly (readonly [string, string])[];
}

/** Docker Hub's registry is not at its name. */
const SERVERS: Readonly<Record<string, string>> = { 'docker.io': 'https://registry-1.docker.io' };

/**
 * Our part of containerd's `certs.d/<registry>/hosts.toml` (containerd docs/hosts.md): the agent as first host, for pulls only.
 * Hosts are asked in the file's order, so ours comes before the first table.
 * @param registry host and port, or `_default` for all that have no directory of their own.
 * @param certificates what a new file has to name, since containerd heeds them no longer by itself
 */
export function hostsEdit(path: string, registry: string, agent: URL, certificates: Certificates): Edit {
  const host = agent.origin;
  const table = [`[host.${quoteToml(host)}]`, '  capabilities = ["pull", "resolve"]'];
  const server =
    registry === '_default'
      ? []
      : [
          `server = ${quoteToml(SERVERS[registry] ?? `https://${registry}`)}`,
          ...certificateLines(certificates),
          '',
        ];
  return {
    insert(given) {
      const text = given === undefined ? undefined : stripBlocks(given);
      if (text === undefined || text === '') return markBlock([...server, ...table]);
      if (hasHost(text, host, path)) return text;
      const next = insertBlock(text, markBlock(table));
      if (!hasHost(next, host, path))
        throw new RuntimeConfigError(`${path} cannot be merged; nothing was changed`);
      return next;
    },
    strip: stripBlocks,
  };
}

/** Of the registry itself, not of the agent. */
function certificateLines({ authorities, clients }: Certificates): string[] {
  const pairs = clients.map((pair) => `[${pair.map(quoteToml).join(', ')}]`);
  return [
    ...(authorities.length > 0 ? [`ca = [${authorities.map(quoteToml).join(', ')}]`] : []),
    ...(pairs.length > 0 ? [`client = [${pairs.join(', ')}]`] : []),
  ];
}

/** Whether a hosts.toml names the agent; a malformed one leads nowhere. */
export function leadsTo(text: string, agent: URL, path: string): boolean {
  try {
    return hasHost(text, agent.origin, path);
  } catch (error) {
    if (error instanceof RuntimeConfigError) return false;
    throw error;
  }
}

function hasHost(text: string, host: string, path: string): boolean {
  const hosts = parseToml(text, path)['host'];
  if (hosts !== undefined && !isTable(hosts))
    throw new RuntimeConfigError(`${path} has a "host" that is not a table; nothing was changed`);
  return hosts?.[host] !== undefined;
}

function insertBlock(text: string, block: string): string {
  const at = firstTableOffset(text);
  const before = text.slice(0, at);
  const newline = before === '' || before.endsWith('\n') ? '' : '\n';
  return `${before}${newline}${block}${text.slice(at)}`;
}

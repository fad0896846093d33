import { readdir, readFile, readlink } from 'node:fs/promises';

const LISTENING = '0A';
const ANY_UDP = '07';

export interface Listener {
  readonly protocol: 'tcp' | 'udp';
  /** `host:port`. */
  readonly address: string;
}

/** Every socket of a process that others can reach: TCP that listens, UDP that is bound (proc(5), net/tcp). */
export async function listenersOf(pid: number): Promise<Listener[]> {
  const own = await socketsOf(pid);
  const found: Listener[] = [];
  for (const file of ['tcp', 'tcp6', 'udp', 'udp6'] as const) {
    const [, ...lines] = (await readFile(`/proc/${pid}/net/${file}`, 'utf8')).trim().split('\n');
    for (const line of lines) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/u);
      const protocol = file.startsWith('tcp') ? 'tcp' : 'udp';
      if (own.has(inode) && state === (protocol === 'tcp' ? LISTENING : ANY_UDP))
        found.push({ protocol, address: readAddress(local) });
    }
  }
  return found;
}

async function socketsOf(pid: number): Promise<Set<string>> {
  const links = (await readdir(`/proc/${pid}/fd`)).map((fd) =>
    readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''),
  );
  const names = await Promise.all(links);
  return new Set(names.flatMap((name) => /^socket:\[(?<inode>\d+)\]$/u.exec(name)?.groups?.['inode'] ?? []));
}

/** IPv4 as one little-endian word; of IPv6 addresses only the port is told apart here. */
function readAddress(local: string): string {
  const [host = '', port = ''] = local.split(':');
  const bytes = Buffer.from(host, 'hex');
  const name = bytes.length === 4 ? bytes.toReversed().join('.') : '[::]';
  return `${name}:${Number.parseInt(port, 16)}`;
}

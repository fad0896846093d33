import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt, run, startDaemon, words, type Outcome } from './program.ts';
import { pair, type Credentials } from './images.ts';
import type { Registry } from './registry.ts';
import { sha256OfStream } from '../support/bytes.ts';

/** Copies instead of mounts, so that it works on any file system and in any container. */
const SNAPSHOTTER = 'native';

interface PullOptions {
  /** How registries are reached; each kind of pull, direct or by a mirror, has a directory of its own. */
  hostsDir: string;
  credentials?: Credentials;
  namespace?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface Containerd extends AsyncDisposable {
  /** `ctr images pull`, linux/amd64 and unpacked. */
  pull(reference: string, options: PullOptions): Promise<Outcome>;
  /** Digests in the content store with the sha256 of what is really there; they must be equal. */
  content(namespace?: string): Promise<Map<string, string>>;
  /** The unpacked file system: path → what it is, with the sha256 of a file's content. */
  files(reference: string, namespace?: string): Promise<Map<string, string>>;
  /** Runs the image's entrypoint; gives what it printed. */
  runImage(reference: string, namespace?: string): Promise<Outcome>;
  ctr(args: readonly string[], options?: { namespace?: string; timeoutMs?: number }): Promise<Outcome>;
  logs(): string;
}

/** Debian's containerd with root, state and socket of its own; no systemd, no CRI. */
export async function startContainerd(directory: string): Promise<Containerd> {
  await mkdir(directory, { recursive: true });
  const socket = join(directory, 'containerd.sock');
  const configFile = join(directory, 'config.toml');
  await writeFile(configFile, configText(directory, socket));
  const base = ['ctr', '--address', socket];
  const ready = async (): Promise<boolean> =>
    (await attempt([...base, 'version'], { timeoutMs: 5000 })).code === 0;
  const daemon = await startDaemon(['containerd', '--config', configFile], ready);

  const ctr: Containerd['ctr'] = (args, { namespace = 'default', ...options } = {}) =>
    attempt([...base, '--namespace', namespace, ...args], options);
  const must = (args: readonly string[], namespace = 'default'): Promise<string> =>
    run([...base, '--namespace', namespace, ...args]);
  return {
    pull: (reference, options) =>
      attempt(
        [...base, '--namespace', options.namespace ?? 'default', ...pullArguments(reference, options)],
        {
          timeoutMs: options.timeoutMs ?? 240_000,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        },
      ),
    async content(namespace) {
      const listed = await must(['content', 'ls', '-q'], namespace);
      const digests = listed.split('\n').filter((line) => line !== '');
      const hashed = await Promise.all(digests.map((digest) => hashOfContent(directory, digest)));
      return new Map(hashed.filter((entry) => entry !== undefined));
    },
    async files(reference, namespace) {
      const target = join(
        directory,
        `mount-${createHash('sha256').update(`${namespace}${reference}`).digest('hex')}`,
      );
      await mkdir(target);
      await must(['images', 'mount', '--snapshotter', SNAPSHOTTER, reference, target], namespace);
      try {
        return await describeTree(target);
      } finally {
        await must(['images', 'unmount', target], namespace);
      }
    },
    runImage: (reference, namespace) =>
      // Host network and no cgroup of its own: what is tested is that the unpacked bytes run.
      ctr(['run', '--rm', '--net-host', '--snapshotter', SNAPSHOTTER, reference, 'shoal-test'], {
        ...(namespace === undefined ? {} : { namespace }),
        timeoutMs: 60_000,
      }),
    ctr,
    logs: () => daemon.logs(),
    [Symbol.asyncDispose]: () => daemon.stop(),
  };
}

/** A hosts directory as an operator keeps it for a registry with a CA of its own: no mirror yet. */
export async function writeHostsDir(
  directory: string,
  registry: Pick<Registry, 'name' | 'url' | 'caFile'>,
): Promise<string> {
  const registryDir = join(directory, registry.name);
  await mkdir(registryDir, { recursive: true });
  const ca = registry.caFile === undefined ? '' : `ca = "${registry.caFile}"\n`;
  // containerd 1.6 takes no file without a host table.
  const host = `[host."${registry.url}"]\ncapabilities = ["pull", "resolve"]\n`;
  await writeFile(join(registryDir, 'hosts.toml'), `server = "${registry.url}"\n${ca}\n${host}${ca}`);
  return directory;
}

function configText(directory: string, socket: string): string {
  return `version = 2
root = "${join(directory, 'root')}"
state = "${join(directory, 'state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]

[grpc]
  address = "${socket}"

[ttrpc]
  address = "${socket}.ttrpc"
`;
}

function pullArguments(reference: string, { hostsDir, credentials }: PullOptions): string[] {
  return [
    ...words(`images pull --platform linux/amd64 --snapshotter ${SNAPSHOTTER} --hosts-dir`),
    hostsDir,
    ...(credentials === undefined ? [] : ['--user', pair(credentials)]),
    reference,
  ];
}

/** Undefined for what containerd's garbage collector took away since it was listed. */
async function hashOfContent(directory: string, digest: string): Promise<[string, string] | undefined> {
  const [algorithm = '', hex = ''] = digest.split(':');
  const path = join(directory, 'root/io.containerd.content.v1.content/blobs', algorithm, hex);
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  if (file === undefined) return undefined;
  const { sha256 } = await sha256OfStream(file.createReadStream());
  return [digest, `sha256:${sha256}`];
}

/** Every entry below a directory, by relative path. */
export async function describeTree(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const described = entries.map(async (entry): Promise<[string, string]> => {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(directory.length);
    if (entry.isSymbolicLink()) return [name, `link to ${await readlink(path)}`];
    if (!entry.isFile()) return [name, entry.isDirectory() ? 'directory' : 'special'];
    const { sha256, bytes } = await sha256OfStream(createReadStream(path));
    return [name, `${bytes} bytes ${sha256}`];
  });
  return new Map((await Promise.all(described)).sort(([a], [b]) => (a < b ? -1 : 1)));
}

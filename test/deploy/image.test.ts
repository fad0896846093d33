import { chown, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary-directory.ts';
import { freePort } from '../../demo/free-port.ts';
import { attempt, run, startDaemon } from '../runtimes/program.ts';
import { type Registry, startRegistry } from '../runtimes/registry.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const BUILD_MS = 240_000;

interface Manifest {
  manifests?: { digest: string; platform: { architecture: string } }[];
  config: { digest: string };
  layers: { digest: string }[];
}

let dir: TemporaryDirectory;
let registry: Registry;
let digest: string;

const build = async (layout: string, ...args: string[]): Promise<string> =>
  (
    await run([process.execPath, join(PROJECT, 'deploy/image/image.ts'), '--output', layout, ...args], {
      timeoutMs: BUILD_MS,
    })
  ).trim();

beforeAll(async () => {
  dir = await temporaryDirectory('image');
  registry = await startRegistry({ directory: dir.path });
  const reference = `${registry.name}/team/shoal:test`;
  digest = await build(dir.join('layout'), '--push', reference, '--plain-http');
  await unpack(dir.join('root'));
}, BUILD_MS);
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

async function document<T>(of: string): Promise<T> {
  const value: T = JSON.parse(await readFile(dir.join('layout/blobs', ...of.split(':')), 'utf8'));
  return value;
}

async function manifestOf(architecture: string): Promise<Manifest> {
  const { manifests = [] } = await document<Manifest>(digest);
  const entry = manifests.find(({ platform }) => platform.architecture === architecture);
  return document<Manifest>(entry?.digest ?? '');
}

/** With the places that a container runtime mounts something to. */
async function unpack(root: string): Promise<void> {
  for (const place of ['dev', 'proc', 'var/lib/shoal']) await mkdir(join(root, place), { recursive: true });
  for (const { digest: layer } of (await manifestOf('amd64')).layers)
    await run(['tar', '-xzf', dir.join('layout/blobs', ...layer.split(':')), '-C', root]);
}

describe('the image', { timeout: BUILD_MS }, () => {
  test('built a second time has the same digest', async () => {
    expect(await build(dir.join('again'))).toBe(digest);
  });

  test('is in the registry for both platforms, with what is known of it', async () => {
    for (const architecture of ['amd64', 'arm64']) {
      const at = ['--tls-verify=false', '--override-arch', architecture, '--no-tags'];
      const text = await run(['skopeo', 'inspect', ...at, `docker://${registry.name}/team/shoal:test`]);
      const { Architecture, Labels }: { Architecture: string; Labels: Record<string, string> } =
        JSON.parse(text);
      expect(Architecture).toBe(architecture);
      expect(Labels).toMatchObject({
        'org.opencontainers.image.title': 'shoal',
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.revision': expect.stringMatching(/^[0-9a-f]{40}(?:-dirty)?$/),
      });
    }
  });

  test('runs as a user without a name or right, and has no shell', async () => {
    const { config } = await manifestOf('amd64');
    const { config: started } = await document<{ config: { User: string; Entrypoint: string[] } }>(
      config.digest,
    );
    expect(started.User).toBe('65532:65532');
    const enter = ['chroot', `--userspec=${started.User}`, dir.join('root')];
    expect(await run([...enter, ...started.Entrypoint, 'agent', '--help'])).toContain('--door.listen');
    expect((await run([...enter, ...started.Entrypoint, '--version'])).trim()).toMatch(/^\d+\.\d+\.\d+/u);
    expect((await attempt([...enter, '/bin/sh', '-c', 'true'])).code).not.toBe(0);
    const sbom = await run([...enter, '/usr/bin/node', '-p', READ_SBOM]);
    expect(sbom.split(',')).toEqual(expect.arrayContaining(['fastify', 'node', 'libc6']));
  });

  test('its agent runs on a read-only root file system, and writes nothing but its store', async () => {
    const [door, status, peer] = [await freePort(), await freePort(), await freePort()];
    await mkdir(dir.join('store'));
    await chown(dir.join('store'), 65_532, 65_532);
    const listen = ['--door.listen', at(door), '--status.listen', at(status), '--peer.listen', at(peer)];
    const agent = ['agent', '--security', 'off', ...listen, '--store.path', '/var/lib/shoal'];
    const start = [
      'unshare',
      '--mount',
      'sh',
      '-c',
      READ_ONLY,
      dir.join('root'),
      dir.join('store'),
      ...agent,
    ];
    const serves = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${status}/healthz`)).ok;
    await using daemon = await startDaemon(start, serves);
    await expect.poll(() => daemon.logs()).toContain('agent serves');
    expect(await readdir(dir.join('store'))).toContain('admin.sock');
  });
});

/** $0: the root; $1: what is mounted for the store; then the arguments. */
const READ_ONLY = `root=$0 store=$1; shift
  mount --bind "$root" "$root" && mount --bind "$store" "$root/var/lib/shoal" && mount --rbind /dev "$root/dev" &&
  mount -t proc proc "$root/proc" && mount -o remount,bind,ro "$root" &&
  exec chroot --userspec=65532:65532 "$root" /usr/bin/node /opt/shoal/cli/shoal.js "$@"`;

const at = (port: number): string => `[127.0.0.1]:${port}`;

const READ_SBOM =
  "JSON.parse(fs.readFileSync('/usr/share/doc/shoal/sbom.cdx.json')).components.map(c => c.name).join()";

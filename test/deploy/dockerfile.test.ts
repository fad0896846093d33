import { cp, mkdir, realpath, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readBaseLock } from '../../deploy/image/base-lock.ts';
import { prepareBase } from '../../deploy/image/base.ts';
import { writeLayer } from '../../demo/oci-layout.ts';
import type { TarEntry } from '../../demo/tar.ts';
import { PLATFORMS } from '../../deploy/image/platform.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary-directory.ts';
import { attempt, run } from '../runtimes/program.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(PROJECT, '.cache/image');
const MINUTES_MS = 240_000;
/** What npm and the Dockerfile's commands call. */
const APPLETS = ['sh', 'mkdir', 'cp', 'env'];
const CERTIFICATES = '/etc/ssl/certs';

let dir: TemporaryDirectory;
let mounted: string;

function buildah(...args: string[]): Promise<string> {
  const storage = ['--root', dir.join('storage'), '--runroot', dir.join('run'), '--storage-driver', 'vfs'];
  return run(['buildah', ...storage, ...args], { timeoutMs: MINUTES_MS }).then((text) => text.trim());
}

/** An image of these directories' files, on another one or on nothing. */
async function commit(name: string, from: string, directories: readonly string[]): Promise<void> {
  const container = await buildah('from', from);
  for (const directory of directories) await buildah('copy', '--quiet', container, directory, '/');
  const env = {
    PATH: '/usr/bin:/bin',
    HOME: '/root',
    NODE_EXTRA_CA_CERTS: `${CERTIFICATES}/ca-certificates.crt`,
  };
  await buildah(
    'config',
    ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    container,
  );
  await buildah('commit', '--quiet', '--rm', container, name);
}

async function unpack(entries: readonly TarEntry[], into: string): Promise<void> {
  await mkdir(join(dir.path, 'blobs/sha256'), { recursive: true });
  await mkdir(into);
  const { path } = await writeLayer(dir.path, entries, { compression: 'none', level: 1 });
  await run(['tar', '-xf', path, '-C', into]);
}

/** A shell and npm: what a builder's image has beside Node. */
async function makeTools(directory: string): Promise<void> {
  for (const folder of ['bin', 'usr/bin', 'usr/lib/node_modules', 'tmp', 'root'])
    await mkdir(join(directory, folder), { recursive: true });
  const [busybox, npm] = await Promise.all(
    ['busybox', 'npm'].map(async (name) => realpath((await run(['which', name])).trim())),
  );
  await cp(busybox!, join(directory, 'bin/busybox'));
  for (const name of APPLETS) await symlink('busybox', join(directory, 'bin', name));
  await symlink('../../bin/env', join(directory, 'usr/bin/env'));
  await cp(dirname(dirname(npm!)), join(directory, 'usr/lib/node_modules/npm'), { recursive: true });
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(directory, 'usr/bin/npm'));
}

beforeAll(async () => {
  dir = await temporaryDirectory('dockerfile');
  const { libraries, node } = await prepareBase(await readBaseLock(), PLATFORMS[0]!, CACHE);
  await unpack(libraries, dir.join('libraries'));
  await unpack(node, dir.join('node'));
  await makeTools(dir.join('tools'));
  await commit('localhost/base', 'scratch', [dir.join('libraries')]);
  await commit('localhost/builder', 'localhost/base', [dir.join('node'), dir.join('tools')]);
  const images = ['--build-arg', 'BUILDER=localhost/builder', '--build-arg', 'BASE=localhost/base'];
  const place = [
    '--isolation',
    'chroot',
    '--network',
    'host',
    '--volume',
    `${CERTIFICATES}:${CERTIFICATES}:ro`,
  ];
  const file = ['--file', join(PROJECT, 'deploy/Dockerfile'), '--tag', 'localhost/shoal', PROJECT];
  await buildah('build', ...place, ...images, ...file);
  mounted = await buildah('mount', await buildah('from', 'localhost/shoal'));
}, MINUTES_MS);
afterAll(async () => {
  await run(['rm', '-rf', dir.join('storage')]);
  await dir[Symbol.asyncDispose]();
});

describe('the image of deploy/Dockerfile, built by buildah', { timeout: MINUTES_MS }, () => {
  test('is for a user without a name or right, and is labelled', async () => {
    const {
      OCIv1,
    }: { OCIv1: { config: { User: string; Labels: Record<string, string>; Entrypoint: string[] } } } =
      JSON.parse(await buildah('inspect', '--type', 'image', 'localhost/shoal'));
    expect(OCIv1.config.User).toBe('65532:65532');
    expect(OCIv1.config.Labels).toMatchObject({ 'org.opencontainers.image.title': 'shoal' });
    expect(OCIv1.config.Entrypoint).toEqual(['/usr/bin/node', '/opt/shoal/cli/shoal.js']);
  });

  test('runs, has no shell, no npm and no packages of development', async () => {
    const enter = ['chroot', '--userspec=65532:65532', mounted];
    expect(await run([...enter, '/usr/bin/node', '/opt/shoal/cli/shoal.js', 'agent', '--help'])).toContain(
      '--door.listen',
    );
    const version = await run([...enter, '/usr/bin/node', '/opt/shoal/cli/shoal.js', '--version']);
    expect(version.trim()).toMatch(/^\d+\.\d+\.\d+/u);
    for (const path of ['/bin/sh', '/usr/bin/npm', '/opt/shoal/node_modules/vitest'])
      expect((await attempt(['test', '-e', join(mounted, path)])).code).toBe(1);
  });

  test('lists what it holds', async () => {
    const sbom = await run(['cat', join(mounted, 'usr/share/doc/shoal/sbom.cdx.json')]);
    const { components }: { components: { name: string }[] } = JSON.parse(sbom);
    const names = components.map(({ name }) => name);
    expect(names).toContain('fastify');
    expect(names).not.toContain('vitest');
  });
});

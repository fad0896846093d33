import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { startAdminSocket } from '#service/admin-socket.ts';
import { loadSecurity } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { loadSigningKey } from '#service/signing.ts';

import { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { startDoor } from './fetch/door-stand-in.ts';
import { runShoal } from './shoal-process.ts';
import { STATUS } from './status-fixture.ts';
import { addTitledFile } from './titled-file.ts';

let dir: TemporaryDirectory;
beforeEach(async () => {
  dir = await temporaryDirectory('cli');
});
afterEach(() => dir[Symbol.asyncDispose]());

describe('wrong usage ends with 2 and one clear sentence', () => {
  test.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['get', '-o', 'x'], "missing required argument 'reference'"],
    [['get', 'a/b:1'], "required option '-o, --output <dir>' not specified"],
    [['get', `sha256:${'0'.repeat(64)}`, '-o', 'x'], 'a digest alone does not say where it is: add --from'],
    [
      ['get', 'a/b:1', '-o', 'x', '--platform', 'amd64'],
      'os/architecture or os/architecture/variant is allowed',
    ],
    [['get', 'a/b:1', '-o', 'x', '--agent', 'localhost:1'], 'http://host:port is allowed'],
    [['get', 'ghcr.io/UPPER:1', '-o', 'x'], 'is not a repository'],
    [['get', 'https://ghcr.io/a/b', '-o', 'x'], 'a reference has no scheme: "ghcr.io/a/b" is allowed'],
    [['config', 'containerd', '--registry', 'a/b'], '"a/b" is not a registry'],
    [['config', 'rkt'], 'Allowed choices are containerd, docker, podman, crio'],
    [['config', 'docker', '--registry', 'ghcr.io'], 'docker mirrors docker.io only'],
    [['config', 'podman', '--registry', '_default'], 'podman has no entry for all registries'],
    [['dev', '--log-level', 'loud'], 'Allowed choices are trace, debug, info, warn, error, fatal, silent'],
    [['dev', '--plain-http', 'http://a'], '"http://a/" is not a registry'],
    [['prune'], 'name one of --all, --older-than and --to'],
    [['prune', '--all', '--to', '1GiB'], 'name one of --all, --older-than and --to'],
    [['prune', '--to', 'much'], 'a size such as'],
    [['limits'], 'nothing to change'],
    [['limits', '--upload', '0MB/s'], 'a rate such as 20MB/s, from 64kB/s to 1TB/s, or none, is allowed'],
    [['limits', '--download', '63kB/s'], 'from 64kB/s to 1TB/s'],
    [['limits', '--download', '2TB/s'], 'from 64kB/s to 1TB/s'],
    [['dev', '--agents', '0'], 'at least 1 is allowed'],
    [['dev', '--port', '29990'], '1024 to 29999 are allowed'],
    [['tracker', '--no.such', 'x'], "unknown option '--no.such'"],
  ])('shoal %j', async (args, message) => {
    const { code, stderr, stdout } = await runShoal(args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('    at ');
    expect([code, stdout]).toEqual([2, '']);
  });
});

describe('what fails ends with 1 and one clear sentence', () => {
  test.each([
    [['agent', '--config', '/no/such.yaml'], 'shoal: cannot read the configuration /no/such.yaml: ENOENT'],
    [
      ['agent', '--security', 'off', '--door.listen', '127.0.0.1:31000'],
      "lies in Kubernetes' NodePort range",
    ],
    [['tracker'], 'shoal: clusterKeyFile is not set'],
    [['status', '--data', '/no/such'], 'shoal: nothing answers at /no/such/admin.sock: is the agent running'],
    [
      ['get', 'a/b:1', '-o', '/tmp/x', '--agent', 'http://127.0.0.1:1'],
      'nothing answers at 127.0.0.1:1: is the agent running?',
    ],
  ])('shoal %j', async (args, message) => {
    const { code, stderr } = await runShoal(args);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(code).toBe(1);
  });

  test('with SHOAL_DEBUG set the stack is told too', async () => {
    const { stderr } = await runShoal(['tracker', '--config', '/no/such.yaml'], { SHOAL_DEBUG: '1' });
    expect(stderr).toContain('    at ');
  });
});

test('the help names every command and ends with 0', async () => {
  const { code, stdout } = await runShoal(['--help']);
  expect(code).toBe(0);
  for (const command of [
    'agent',
    'tracker',
    'origin',
    'dev',
    'keygen',
    'get',
    'config',
    'status',
    'limits',
    'prune',
  ])
    expect(stdout).toContain(`  ${command}`);
});

test('the version is that of the package', async () => {
  const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
  const { version }: { version: string } = JSON.parse(text);
  expect(await runShoal(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test('keygen makes keys that parts can load, for their owner alone, and keeps them when run again', async () => {
  const out = dir.join('keys');
  const first = await runShoal(['keygen', '--out', out]);
  expect(first.code).toBe(0);
  expect(
    loadSecurity({ security: 'cluster-key', clusterKeyFile: dir.join('keys/cluster.key') }),
  ).toMatchObject({ mode: 'cluster-key' });
  const key = loadSigningKey(dir.join('keys/origin.key')).publicKey.toString('base64');
  expect(first.stdout).toBe(`trustedOriginKeys: ["${key}"]\n`);
  for (const name of ['cluster.key', 'origin.key'])
    expect((await stat(dir.join('keys', name))).mode & 0o777).toBe(0o600);
  expect((await runShoal(['keygen', '--out', out])).stdout).toBe(first.stdout);
});

describe('commands to the running agent', () => {
  const asked: unknown[] = [];

  async function startAgent() {
    asked.length = 0;
    return startAdminSocket({
      directory: dir.path,
      logger: createLogger('test', { level: 'silent' }),
      metrics: createMetrics('test', { process: false }),
      routes: (app) => {
        app.post('/v1/prune', (request) => {
          asked.push(request.body);
          return { blobs: 3, bytes: 42, inUse: 1 };
        });
        app.patch('/v1/limits', (request) => {
          asked.push(request.body);
          return { downloadBytesPerSecond: 20_000_000, uploadBytesPerSecond: null };
        });
        app.get('/v1/status', () => STATUS);
      },
    });
  }

  const removed = 'removed 3 blobs, 42 B; 1 blob in use, kept\n';
  const limits = 'download 20.0 MB/s, upload none\n';

  test.each([
    [['prune', '--all'], { all: true }, removed],
    [['prune', '--older-than', '7d'], { olderThanMs: 604_800_000 }, removed],
    [['prune', '--to', '10GiB'], { toBytes: 10 * 2 ** 30 }, removed],
    [
      ['limits', '--download', '20MB/s', '--upload', 'none'],
      { downloadBytesPerSecond: 20_000_000, uploadBytesPerSecond: null },
      limits,
    ],
    [['limits', '--upload', '1MiB/s'], { uploadBytesPerSecond: 2 ** 20 }, limits],
  ])('shoal %j', async (args, body, told) => {
    await using _agent = await startAgent();
    const { code, stdout, stderr } = await runShoal([...args, '--data', dir.path]);
    expect([code, stderr, stdout]).toEqual([0, '', told]);
    expect(asked).toEqual([body]);
  });

  test('status is shown for people and for programs', async () => {
    await using _agent = await startAgent();
    const shown = await runShoal(['status'], { SHOAL_STORE_PATH: dir.path });
    expect(shown.stdout).toMatch(/^idle; holds 1 blob, 2\.0 kB\n\n/u);
    const { stdout } = await runShoal(['status', '--json', '--data', dir.path]);
    expect(JSON.parse(stdout)).toEqual(STATUS);
  });
});

test('config writes below the root, says what it did, and takes it back', async () => {
  const config = ['config', 'containerd', '--root', dir.path];
  const at = [...config, '--config-path', '/etc/containerd/certs.d'];
  const written = await runShoal([...at, '--registry', 'ghcr.io', 'quay.io']);
  expect(written.code).toBe(0);
  expect(written.stdout).toBe(
    '/etc/containerd/certs.d/ghcr.io/hosts.toml: written\n/etc/containerd/certs.d/quay.io/hosts.toml: written\n',
  );
  const removed = await runShoal([...config, '--remove']);
  expect(removed.stdout).toContain('/etc/containerd/certs.d/ghcr.io/hosts.toml: deleted\n');
});

test('config writes nothing where containerd looks for no mirrors, and says what to add', async () => {
  const { code, stdout, stderr } = await runShoal(['config', 'containerd', '--root', dir.path]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain('config_path = "/etc/containerd/certs.d"');
  expect(stderr).toMatch(/^shoal: containerd does not ask Shoal/mu);
  const removed = await runShoal(['config', 'containerd', '--remove', '--root', dir.path]);
  expect(removed).toEqual({ code: 0, stdout: '', stderr: 'there was nothing to take back\n' });
});

test('get fetches a file through the door, tells progress in plain lines and the share from peers', async () => {
  await using registry = await UpstreamRegistry.start();
  await using door = await startDoor(registry.url);
  door.sources = { cache: 0, peer: 3, origin: 1, upstream: 0 };
  const bytes = Buffer.from('hello');
  const { manifest: digest } = addTitledFile(registry, { tag: 'v1', title: 'hello.txt', bytes });
  const common = ['-o', dir.join('out'), '--agent', door.url.origin];
  const { code, stdout, stderr } = await runShoal(['get', `${registry.host}/org/app:v1`, ...common]);
  expect([code, await readFile(dir.join('out/hello.txt'), 'utf8')]).toEqual([0, 'hello']);
  expect(stdout).toMatch(
    new RegExp(`^${digest}: 1 files, 5 B in [0-9.]+ s \\(75 % from peers, 25 % from origin\\)\n$`),
  );
  expect(stderr).toBe(
    `${registry.host}/org/app:v1: 5 B\nhello.txt 5 B (75 % from peers, 25 % from origin)\n`,
  );

  const byDigest = await runShoal(['get', digest, '--from', `${registry.host}/org/app`, ...common]);
  expect(byDigest.stderr).toContain('hello.txt 5 B (there already)');
  const missing = await runShoal(['get', `${registry.host}/org/app:v2`, ...common]);
  expect([missing.code, missing.stderr]).toEqual([
    1,
    expect.stringMatching(/^shoal: .* answered 404: MANIFEST_UNKNOWN/),
  ]);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)(
  'a get that is ended by %s says so, leaves no half file and ends with %d',
  async (signal, expected) => {
    await using registry = await UpstreamRegistry.start({ bytesPerSecond: 100_000 });
    await using door = await startDoor(registry.url);
    addTitledFile(registry, { tag: 'v1', title: 'file', bytes: deterministicBytes('long', 2_000_000) });
    const args = ['get', `${registry.host}/org/app:v1`, '-o', dir.join('out'), '--agent', door.url.origin];
    const asksForBlob = (): boolean => door.asked.some((path) => path.includes('/blobs/'));
    const { code, stderr } = await runShoal(args, {}, (child) => {
      const look = setInterval(() => {
        if (!asksForBlob()) return;
        clearInterval(look);
        child.kill(signal);
      }, 20);
      child.once('close', () => clearInterval(look));
    });
    expect(asksForBlob()).toBe(true);
    expect(stderr).toContain('shoal: interrupted');
    expect(await readdir(dir.join('out'))).toEqual([]);
    expect(code).toBe(expected);
  },
);

test("get takes docker's credentials, and says so when their file is malformed", async () => {
  await using registry = await UpstreamRegistry.start({
    auth: { kind: 'basic', users: [{ name: 'jo', password: 'pw', repositories: 'all' }] },
  });
  await using door = await startDoor(registry.url);
  const layer = { mediaType: 'a/b', digest: registry.content.addBlob('p/q', Buffer.from('x')), size: 1 };
  registry.content.addManifest('p/q', { schemaVersion: 2, config: layer, layers: [layer] }, { tag: '1' });
  await writeFile(
    dir.join('config.json'),
    JSON.stringify({ auths: { [registry.host]: { username: 'jo', password: 'pw' } } }),
  );
  const args = ['get', `${registry.host}/p/q:1`, '-o', dir.join('out'), '--agent', door.url.origin];
  expect((await runShoal(args)).stderr).toContain(`${registry.host} answered 401: it wants a login`);
  expect((await runShoal(args, { DOCKER_CONFIG: dir.path })).code).toBe(0);
  await writeFile(dir.join('config.json'), 'pw');
  expect((await runShoal(args, { DOCKER_CONFIG: dir.path })).stderr).toBe(
    'shoal: the credentials file is not JSON\n',
  );
});

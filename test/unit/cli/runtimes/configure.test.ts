import * as fc from 'fast-check';
import { chmod, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { parse } from 'smol-toml';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { configure } from '#cli/runtimes/configure.ts';
import type { Configured, Runtime } from '#cli/runtimes/configure.ts';

import { temporaryDirectory } from '../../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { readTree, writeTree } from './files.ts';

const AGENT = new URL('http://127.0.0.1:29500');
const HOSTS = '/etc/containerd/certs.d/ghcr.io/hosts.toml';
const DAEMON = '/etc/docker/daemon.json';
const DROP_IN = '/etc/containers/registries.conf.d/shoal.conf';

let dir: TemporaryDirectory;
beforeEach(async () => {
  dir = await temporaryDirectory('runtimes');
});
afterEach(() => dir[Symbol.asyncDispose]());

const CERTS = '/etc/containerd/certs.d';

interface Options {
  readonly registries?: string[];
  /** None: containerd's configuration says it. */
  readonly certs?: string | undefined;
  readonly agent?: URL;
  readonly remove?: boolean;
  readonly root?: string;
}

function act(runtime: Runtime, options: Options = {}): Promise<Configured> {
  const { registries, agent = AGENT, remove = false, root = dir.path } = options;
  const certs = 'certs' in options ? options.certs : CERTS;
  return configure(runtime, { registries, agent, root, remove, ...(certs !== undefined && { certs }) });
}

const read = (path: string): Promise<string> => readFile(dir.join(path), 'utf8');

/** Files as operators have them, by runtime. */
const GIVEN: readonly (readonly [name: string, runtime: Runtime, tree: Record<string, string>])[] = [
  ['nothing', 'containerd', {}],
  ['nothing', 'docker', {}],
  ['nothing', 'podman', {}],
  ['nothing', 'crio', {}],
  ['an empty file', 'containerd', { [HOSTS]: '' }],
  ['an empty file', 'docker', { [DAEMON]: '' }],
  ['a server only, no line end', 'containerd', { [HOSTS]: 'server = "https://ghcr.io"' }],
  [
    'another mirror with comments',
    'containerd',
    {
      [HOSTS]:
        '# ours\nserver = "https://ghcr.io" # upstream\n\n# near\n[host."https://mirror:5000"]\n  capabilities = ["pull"]\n  [host."https://mirror:5000".header]\n    x = ["[1]"]\n',
    },
  ],
  [
    'brackets in strings and arrays',
    'containerd',
    { [HOSTS]: 'ca = [\n  "a.pem",\n[ "b.pem" ]\n]\ntext = """\n[host]\n"""\n[host."https://m"]\n' },
  ],
  ['Windows line ends', 'containerd', { [HOSTS]: 'server = "https://ghcr.io"\r\n[host."https://m"]\r\n' }],
  ['a byte order mark', 'containerd', { [HOSTS]: '\uFEFFserver = "https://ghcr.io"\n' }],
  ['our own host, written by hand', 'containerd', { [HOSTS]: '[host."http://127.0.0.1:29500"]\n' }],
  ['a certificate beside it', 'containerd', { '/etc/containerd/certs.d/ghcr.io/ca.crt': 'PEM' }],
  ['an empty object', 'docker', { [DAEMON]: '{}' }],
  [
    'other knobs, tabs',
    'docker',
    { [DAEMON]: '{\n\t"log-driver": "journald",\n\t"insecure-registries": []\n}' },
  ],
  [
    'another mirror',
    'docker',
    { [DAEMON]: '{"registry-mirrors": ["https://mirror.example.com/"], "debug": true}\n' },
  ],
  ['our mirror already', 'docker', { [DAEMON]: '{ "registry-mirrors": ["http://127.0.0.1:29500/"] }' }],
  ['an empty list of mirrors', 'docker', { [DAEMON]: '{"registry-mirrors":[]}' }],
  [
    'other drop-ins',
    'podman',
    { '/etc/containers/registries.conf.d/000-short.conf': '[aliases]\n"a" = "docker.io/a"\n' },
  ],
  [
    'a hand-written drop-in of our name',
    'podman',
    { [DROP_IN]: 'unqualified-search-registries = ["docker.io"]' },
  ],
];

describe.each(GIVEN)('with %s, %s', (_name, runtime, tree) => {
  const registries = runtime === 'docker' ? {} : { registries: ['ghcr.io'] };

  test('applied and removed again leaves every byte and mode as it was', async () => {
    await writeTree(dir.path, tree);
    const before = await readTree(dir.path);
    await act(runtime, registries);
    await act(runtime, { ...registries, remove: true });
    expect(await readTree(dir.path)).toEqual(before);
  });

  test('applied twice is as applied once', async () => {
    await writeTree(dir.path, tree);
    await act(runtime, registries);
    const once = await readTree(dir.path);
    const again = await act(runtime, registries);
    expect(await readTree(dir.path)).toEqual(once);
    expect(again.changes.map(({ change }) => change)).toEqual(['unchanged']);
    expect(again.advice.filter((text) => text.includes('reload'))).toEqual([]);
  });
});

test.each(GIVEN.filter(([name]) => name !== 'our mirror already'))(
  'with %s, %s, removed without having been applied changes nothing',
  async (_name, runtime, tree) => {
    await writeTree(dir.path, tree);
    const before = await readTree(dir.path);
    await act(runtime, { remove: true });
    expect(await readTree(dir.path)).toEqual(before);
  },
);

describe('containerd', () => {
  test('asks the agent first, for pulls, and the registry itself after it', async () => {
    await act('containerd', { registries: ['docker.io', 'ghcr.io', '_default'] });
    expect(parse(await read(HOSTS))).toEqual({
      server: 'https://ghcr.io',
      host: { 'http://127.0.0.1:29500': { capabilities: ['pull', 'resolve'] } },
    });
    expect(parse(await read('/etc/containerd/certs.d/docker.io/hosts.toml'))).toMatchObject({
      server: 'https://registry-1.docker.io',
    });
    expect(parse(await read('/etc/containerd/certs.d/_default/hosts.toml'))).not.toHaveProperty('server');
  });

  test("keeps others' hosts, after the agent", async () => {
    await writeTree(dir.path, {
      [HOSTS]: 'server = "https://x"\n[host."https://a"]\nskip_verify = true\n[host."https://b"]\n',
    });
    await act('containerd', { registries: ['ghcr.io'] });
    const { host, server } = parse(await read(HOSTS));
    expect(server).toBe('https://x');
    expect(Object.keys(host ?? {})).toEqual(['http://127.0.0.1:29500', 'https://a', 'https://b']);
  });

  test('what was edited meanwhile stays, only our part goes', async () => {
    await writeTree(dir.path, { [HOSTS]: 'server = "https://ghcr.io"\n' });
    await act('containerd', { registries: ['ghcr.io'] });
    await writeFile(dir.join(HOSTS), `${await read(HOSTS)}[host."https://added"]\n`);
    const { changes } = await act('containerd', { registries: ['ghcr.io'], remove: true });
    expect(changes).toMatchObject([{ change: 'stripped' }]);
    expect(await read(HOSTS)).toBe('server = "https://ghcr.io"\n[host."https://added"]\n');
  });

  test('an edit survives that the agent moves to another port', async () => {
    await act('containerd', { registries: ['ghcr.io'] });
    await writeFile(dir.join(HOSTS), `${await read(HOSTS)}[host."https://added"]\n`);
    await act('containerd', { registries: ['ghcr.io'], agent: new URL('http://127.0.0.1:5000') });
    expect(Object.keys(parse(await read(HOSTS))['host'] ?? {})).toEqual([
      'http://127.0.0.1:5000',
      'https://added',
    ]);
    await act('containerd', { remove: true });
    expect(await read(HOSTS)).toBe('[host."https://added"]\n');
  });

  test('with another directory of its own a registry bypasses the agent: that is told, once it is named no more', async () => {
    await writeTree(dir.path, {
      [HOSTS]: 'server = "https://ghcr.io"\n[host."https://mirror"]\n',
      [`${CERTS}/quay.io/ca.crt`]: 'PEM',
      [`${CERTS}/registry.local_5000_/hosts.toml`]: 'server = ',
      [`${CERTS}/ours.example/hosts.toml`]: '[host."http://127.0.0.1:29500"]\n',
      [`${CERTS}/README`]: 'no directory',
    });
    const beside = 'ghcr.io quay.io registry.local:5000';
    const { advice, isInPlace } = await act('containerd');
    expect(isInPlace).toBe(true);
    expect(advice).toEqual([expect.stringContaining(`bypass Shoal`)]);
    expect(advice.join('')).toContain(`pulls from ${beside.replaceAll(' ', ', ')} `);
    expect(advice.join('')).toContain(`--registry _default ${beside}`);
    await writeFile(dir.join(`${CERTS}/registry.local_5000_/hosts.toml`), '');
    const named = await act('containerd', { registries: ['_default', ...beside.split(' ')] });
    expect(named.advice).toEqual([]);
    expect(await read(`${CERTS}/registry.local_5000_/hosts.toml`)).toContain('127.0.0.1:29500');
    expect((await act('containerd')).advice).toEqual([]);
    expect((await act('containerd', { remove: true })).advice).toEqual([]);
  });

  test("a registry's certificates in docker's manner count on for the registry, not for the agent", async () => {
    const certs = `${CERTS}/ghcr.io`;
    await writeTree(dir.path, {
      [`${certs}/ca.crt`]: 'PEM',
      [`${certs}/us.cert`]: 'PEM',
      [`${certs}/us.key`]: 'PEM',
      [`${certs}/other.cert`]: 'no key with it',
    });
    await act('containerd', { registries: ['ghcr.io'] });
    expect(parse(await read(HOSTS))).toEqual({
      server: 'https://ghcr.io',
      ca: [`${certs}/ca.crt`],
      client: [[`${certs}/us.cert`, `${certs}/us.key`]],
      host: { 'http://127.0.0.1:29500': { capabilities: ['pull', 'resolve'] } },
    });
  });

  test('a lost backup does not lead to a second entry', async () => {
    await act('containerd', { registries: ['ghcr.io'] });
    const once = await read(HOSTS);
    await rm(`${dir.join(HOSTS)}.shoal-backup`);
    await act('containerd', { registries: ['ghcr.io'] });
    expect(await read(HOSTS)).toBe(once);
  });

  test('without names everything that was written is taken back, and nothing else', async () => {
    await writeTree(dir.path, { '/etc/containerd/certs.d/other/hosts.toml': 'server = "https://other"\n' });
    const before = await readTree(dir.path);
    await act('containerd', { registries: ['ghcr.io', 'registry.local:5000', '_default'] });
    await act('containerd', { remove: true });
    expect(await readTree(dir.path)).toEqual(before);
  });

  test.each([
    ['server = ', 'is not valid TOML'],
    ['host = "x"', '"host" that is not a table'],
    ['host = { "https://a" = {} }', 'is not valid TOML'],
  ])('a malformed file (%j) is refused and left alone', async (text, message) => {
    await writeTree(dir.path, { [HOSTS]: text });
    const before = await readTree(dir.path);
    await expect(act('containerd', { registries: ['ghcr.io'] })).rejects.toThrow(message);
    await expect(act('containerd', { registries: ['ghcr.io'] })).rejects.toThrow('nothing was changed');
    expect(await readTree(dir.path)).toEqual(before);
  });

  test.each([
    [
      '1.x',
      'version = 2\n',
      '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"',
    ],
    [
      '2.x',
      'version = 3\n',
      '[plugins."io.containerd.cri.v1.images".registry]\n  config_path = "/etc/containerd/certs.d"',
    ],
  ])(
    'says what to add to the configuration of containerd %s, and writes nothing',
    async (_version, text, wanted) => {
      await writeTree(dir.path, { '/etc/containerd/config.toml': text });
      const before = await readTree(dir.path);
      const { advice, changes } = await act('containerd', { certs: undefined });
      expect(advice.join('')).toContain(wanted);
      expect(changes).toEqual([]);
      expect(await readTree(dir.path)).toEqual(before);
      expect(() => parse(wanted)).not.toThrow();
    },
  );

  test('says so when there is no configuration, or one with mirrors of the old kind', async () => {
    expect((await act('containerd', { certs: undefined })).advice.join('')).toMatch(
      /there is no [^]*version = 3[^]*version = 2/,
    );
    await writeTree(dir.path, {
      '/etc/containerd/config.toml':
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://m"]\n',
    });
    expect((await act('containerd', { certs: undefined })).advice.join('')).toContain('registry.mirrors');
  });

  test.each([
    ['1.x', '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/certs"\n'],
    ['2.x', '[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/srv/certs"\n'],
  ])('writes where the configuration of containerd %s looks', async (_version, text) => {
    await writeTree(dir.path, { '/etc/containerd/config.toml': text });
    const { advice, changes } = await act('containerd', { registries: ['ghcr.io'], certs: undefined });
    expect(advice).toEqual([]);
    expect(changes).toEqual([{ path: '/srv/certs/ghcr.io/hosts.toml', change: 'written' }]);
  });

  test.each([
    ['of containerd 2.x', 'io.containerd.cri.v1.images', '', 1],
    [
      'of containerd 2.x that pulls by its client',
      'io.containerd.cri.v1.images',
      'use_local_image_pull = true',
      0,
    ],
    [
      'as on EKS, which makes the client pull',
      'io.containerd.cri.v1.images',
      'discard_unpacked_layers = true',
      0,
    ],
    ['in the older form', 'io.containerd.grpc.v1.cri', '', 1],
  ])('a list of directories %s', async (_of, plugin, option, told) => {
    const registry = `[plugins."${plugin}".registry]\nconfig_path = "/srv/certs:/etc/docker/certs.d"\n`;
    await writeTree(dir.path, {
      '/etc/containerd/config.toml': `[plugins."${plugin}"]\n${option}\n${registry}`,
    });
    const { advice, changes } = await act('containerd', { certs: undefined });
    expect(changes).toEqual([{ path: '/srv/certs/_default/hosts.toml', change: 'written' }]);
    expect(advice).toHaveLength(told);
    expect(advice.join('')).toMatch(told === 0 ? /^$/ : /Make it config_path = "\/srv\/certs"/);
  });

  test('a path set in an imported file counts', async () => {
    await writeTree(dir.path, {
      '/etc/containerd/config.toml': 'version = 3\nimports = ["conf.d/*.toml"]\n',
      '/etc/containerd/conf.d/certs.toml':
        '[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/srv/certs"\n',
    });
    expect((await act('containerd', { certs: undefined })).changes).toMatchObject([
      { path: '/srv/certs/_default/hosts.toml' },
    ]);
  });
});

describe('docker', () => {
  test('a lost backup does not keep our mirror from going', async () => {
    await writeTree(dir.path, { [DAEMON]: '{"debug": true}' });
    await act('docker');
    await rm(`${dir.join(DAEMON)}.shoal-backup`);
    await act('docker', { remove: true });
    expect(JSON.parse(await read(DAEMON))).toEqual({ debug: true });
  });

  test('asks the agent first, keeps all else, and wants a reload', async () => {
    await writeTree(dir.path, {
      [DAEMON]: '{\n    "debug": true,\n    "registry-mirrors": ["https://m"]\n}\n',
    });
    const { advice } = await act('docker');
    expect(advice.join('')).toContain('door.logins names docker.io');
    expect(await read(DAEMON)).toBe(
      '{\n    "debug": true,\n    "registry-mirrors": [\n        "http://127.0.0.1:29500",\n        "https://m"\n    ]\n}\n',
    );
    expect(advice.join('')).toContain('systemctl reload docker');
  });

  test('from a file edited meanwhile only our mirror goes', async () => {
    await act('docker');
    await writeFile(
      dir.join(DAEMON),
      '{"debug": true, "registry-mirrors": ["http://127.0.0.1:29500", "https://m"]}',
    );
    await act('docker', { remove: true });
    expect(JSON.parse(await read(DAEMON))).toEqual({ debug: true, 'registry-mirrors': ['https://m'] });
    await writeFile(dir.join(DAEMON), '{"debug": true, "registry-mirrors": ["http://127.0.0.1:29500"]}');
    await act('docker', { remove: true });
    expect(JSON.parse(await read(DAEMON))).toEqual({ debug: true });
  });

  test.each([
    ['podman', 'podman login --tls-verify=false 127.0.0.1:29500/<registry>'],
    ['crio', 'CRI-O gives mirrors no pull secret'],
  ] as const)('%s: what is told of private images', async (runtime, told) => {
    expect((await act(runtime)).advice.join('')).toContain(told);
    expect((await act(runtime, { remove: true })).advice.join('')).not.toContain(told);
  });

  test('a link stays a link and a mode stays a mode', async () => {
    await writeTree(dir.path, { '/srv/daemon.json': '{}', '/etc/docker/key.json': '' });
    await chmod(dir.join('/srv/daemon.json'), 0o640);
    await symlink('../../srv/daemon.json', dir.join(DAEMON));
    await act('docker');
    expect((await readTree(dir.path))['/srv/daemon.json']).toMatch(/^640 [^]*registry-mirrors/);
    expect(JSON.parse(await read(DAEMON))).toEqual({ 'registry-mirrors': ['http://127.0.0.1:29500'] });
  });

  test.each([
    ['{', 'is not valid JSON'],
    ['[]', 'is not a JSON object'],
    ['{"registry-mirrors": "https://m"}', 'is not a list of URLs'],
    ['{"a": 1 // no\n}', 'is not valid JSON'],
  ])('a malformed file (%j) is refused and left alone', async (text, message) => {
    await writeTree(dir.path, { [DAEMON]: text });
    await expect(act('docker')).rejects.toThrow(message);
    expect(await read(DAEMON)).toBe(text);
  });

  test('bytes that are no text are refused and left alone', async () => {
    await writeTree(dir.path, { [DAEMON]: '' });
    await writeFile(dir.join(DAEMON), Buffer.from([0x7b, 0xff, 0x7d]));
    await expect(act('docker')).rejects.toThrow('is not UTF-8; nothing was changed');
    expect(await readFile(dir.join(DAEMON))).toEqual(Buffer.from([0x7b, 0xff, 0x7d]));
  });

  test('a damaged backup is not trusted', async () => {
    await act('docker');
    await writeFile(`${dir.join(DAEMON)}.shoal-backup`, '{"original": 7}');
    await expect(act('docker', { remove: true })).rejects.toThrow('is not a backup made by "shoal config"');
  });

  test('a file deleted meanwhile stays deleted', async () => {
    await writeTree(dir.path, { [DAEMON]: '{}' });
    await act('docker');
    await rm(dir.join(DAEMON));
    expect((await act('docker', { remove: true })).changes).toMatchObject([{ change: 'absent' }]);
    expect(Object.keys(await readTree(dir.path)).filter((path) => path.includes('daemon'))).toEqual([]);
  });

  test('whatever knobs there are, they stay, and go back to their bytes', async () => {
    const knobs = fc.dictionary(fc.stringMatching(/^[a-z-]{1,8}$/), fc.jsonValue(), { maxKeys: 4 });
    const mirrors = fc.option(fc.array(fc.webUrl(), { maxLength: 3 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(knobs, mirrors, fc.nat(4), async (others, list, indent) => {
        await using root = await temporaryDirectory('property');
        const given = JSON.stringify(
          { ...others, ...(list && { 'registry-mirrors': list }) },
          undefined,
          indent,
        );
        await writeTree(root.path, { [DAEMON]: given });
        await act('docker', { root: root.path });
        const applied: unknown = JSON.parse(await readFile(root.join(DAEMON), 'utf8'));
        expect(applied).toEqual(
          JSON.parse(JSON.stringify({ ...others, 'registry-mirrors': [AGENT.origin, ...(list ?? [])] })),
        );
        await act('docker', { root: root.path, remove: true });
        expect(await readFile(root.join(DAEMON), 'utf8')).toBe(given);
      }),
      { numRuns: 30 },
    );
  });
});

describe.each(['podman', 'crio'] as const)('%s', (runtime) => {
  test('takes no registry with a port, which is none in path form, and can take one back', async () => {
    const registries = ['ghcr.io', 'registry.example.com:5000'];
    await expect(act(runtime, { registries })).rejects.toThrow(
      /^registry\.example\.com:5000 has a port, .*nothing was changed$/u,
    );
    await expect(read(DROP_IN)).rejects.toThrow('ENOENT');
    await act(runtime, { registries, remove: true });
  });

  test('asks the agent by path, over plain HTTP, before the registry', async () => {
    await act(runtime, { registries: ['ghcr.io', 'registry.local'] });
    expect(parse(await read(DROP_IN))).toEqual({
      registry: [
        {
          prefix: 'ghcr.io',
          location: 'ghcr.io',
          mirror: [{ location: '127.0.0.1:29500/ghcr.io', insecure: true }],
        },
        {
          prefix: 'registry.local',
          location: 'registry.local',
          mirror: [{ location: '127.0.0.1:29500/registry.local', insecure: true }],
        },
      ],
    });
  });

  test('carries over what other files say of the registry', async () => {
    await writeTree(dir.path, {
      '/etc/containers/registries.conf': '[[registry]]\nlocation = "ghcr.io"\nblocked = true\n',
      '/etc/containers/registries.conf.d/10-a.conf':
        '[[registry]]\nprefix = "ghcr.io"\nlocation = "ghcr.example.com"\n[[registry.mirror]]\nlocation = "near:5000"\n',
    });
    await act(runtime, { registries: ['ghcr.io'] });
    expect(parse(await read(DROP_IN))).toEqual({
      registry: [
        {
          prefix: 'ghcr.io',
          location: 'ghcr.example.com',
          mirror: [{ location: '127.0.0.1:29500/ghcr.io', insecure: true }, { location: 'near:5000' }],
        },
      ],
    });
  });

  test('another choice of registries replaces the one before', async () => {
    await act(runtime, { registries: ['ghcr.io'] });
    await act(runtime, { registries: ['quay.io'] });
    expect(await read(DROP_IN)).not.toContain('ghcr.io');
    await act(runtime, { remove: true });
    expect(await readTree(dir.path)).toEqual({});
  });

  test('a malformed file of the node is refused', async () => {
    await writeTree(dir.path, { '/etc/containers/registries.conf': '[[registry' });
    await expect(act(runtime)).rejects.toThrow('/etc/containers/registries.conf is not valid TOML');
    expect(Object.keys(await readTree(dir.path)).filter((path) => path.includes('shoal'))).toEqual([]);
  });
});

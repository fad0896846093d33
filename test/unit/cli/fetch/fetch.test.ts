import * as fc from 'fast-check';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { Mirror } from '#registry/mirror.ts';
import type { MirrorOptions } from '#registry/mirror.ts';
import { fetchArtifact } from '#cli/fetch/fetch.ts';
import type { FetchOptions, Fetched } from '#cli/fetch/fetch.ts';
import type { Progress } from '#cli/fetch/progress.ts';
import { describeSources } from '#cli/fetch/sources.ts';
import { parseDockerConfig } from '#registry/credentials.ts';
import { OCI_INDEX } from '#registry/media-types.ts';
import { parseReference } from '#registry/reference.ts';

import { makeImage } from '../../../../demo/image.ts';
import { UpstreamRegistry } from '../../../../demo/upstream-registry.ts';
import { deterministicBytes, digestOf } from '../../../support/bytes.ts';
import { temporaryDirectory } from '../../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { startDoor } from './door-stand-in.ts';
import type { DoorStandIn } from './door-stand-in.ts';

/** For a machine that is busy with other tests. */
const PATIENT = { timeout: 10_000 };

const REPOSITORY = 'org/thing';
const TITLE = 'org.opencontainers.image.title';

let dir: TemporaryDirectory;
let registry: UpstreamRegistry;
let door: DoorStandIn;
let seen: { total: number; bytes: number; noted: string[]; retried: string[]; finished: string[] };

beforeEach(async () => {
  dir = await temporaryDirectory('get');
  registry = await UpstreamRegistry.start();
  door = await startDoor(registry.url);
  seen = { total: 0, bytes: 0, noted: [], retried: [], finished: [] };
});
afterEach(async () => {
  await door[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

const progress: Progress = {
  begin: (total) => void (seen.total = total),
  advance: (bytes) => void (seen.bytes += bytes),
  note: (text) => void seen.noted.push(text),
  retrying: (name, reason) => void seen.retried.push(`${name}: ${reason}`),
  finished: (name, _bytes, note) => void seen.finished.push(note === undefined ? name : `${name}: ${note}`),
  [Symbol.dispose]: () => {},
};

async function get(
  reference: string,
  options: Partial<FetchOptions> = {},
  doorOptions: Partial<MirrorOptions> = {},
): Promise<Fetched> {
  const parsed = parseReference(`${registry.host}/${reference}`);
  await using opened = new Mirror(parsed, {
    agent: door.url,
    plainHosts: [registry.host, new URL(registry.realmUrl).host],
    backoffBaseMs: 5,
    backoffCapMs: 20,
    resumeAttempts: 5,
    ...doorOptions,
  });
  return await fetchArtifact(opened, {
    reference: parsed,
    directory: dir.join('out'),
    progress,
    signal: AbortSignal.timeout(15_000),
    ...options,
  });
}

const read = (path: string): Promise<Buffer> => readFile(dir.join('out', path));

/** An artifact whose layers have these titles; a title of undefined is none. Returns its digest. */
function addArtifact(
  files: readonly (readonly [title: string | undefined, content: Buffer])[],
  tag = '1',
): string {
  const config = Buffer.from('{}');
  const layers = files.map(([title, content]) => ({
    mediaType: 'application/octet-stream',
    digest: registry.content.addBlob(REPOSITORY, content),
    size: content.length,
    ...(title !== undefined && { annotations: { [TITLE]: title } }),
  }));
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/vnd.example',
    config: {
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: registry.content.addBlob(REPOSITORY, config),
      size: config.length,
    },
    layers,
  };
  return registry.content.addManifest(REPOSITORY, manifest, { tag });
}

test('shares are whole percents that add up to 100', () => {
  expect(describeSources({ cache: 1, peer: 1, origin: 1, upstream: 0 })).toBe(
    '34 % from cache, 33 % from peers, 33 % from origin',
  );
  const bytes = fc.nat(1_000_000);
  fc.assert(
    fc.property(fc.record({ cache: bytes, peer: bytes, origin: bytes, upstream: bytes }), (sources) => {
      const shares = describeSources(sources)?.match(/\d+(?= %)/gu) ?? ['100'];
      expect(shares.reduce((sum, share) => sum + Number(share), 0)).toBe(100);
    }),
  );
});

describe('an artifact with titled files', () => {
  test('becomes those files, byte for byte, and nothing else', async () => {
    const [a, b] = [deterministicBytes('a', 3_000_000), Buffer.alloc(0)];
    const digest = addArtifact([
      ['model.bin', a],
      ['sub/dir/empty', b],
      [undefined, Buffer.from('not named')],
    ]);
    const fetched = await get(`${REPOSITORY}:1`);
    expect(fetched).toMatchObject({ digest, form: 'files', blobs: 2, bytes: a.length });
    expect((await read('model.bin')).equals(a)).toBe(true);
    expect(await read('sub/dir/empty')).toHaveLength(0);
    expect((await readdir(dir.join('out'), { recursive: true })).sort()).toEqual([
      'model.bin',
      'sub',
      'sub/dir',
      'sub/dir/empty',
    ]);
    expect(seen).toMatchObject({ total: a.length, bytes: a.length });
  });

  test('asks the agent for everything, with the name of the registry', async () => {
    addArtifact([['a', Buffer.from('a')]]);
    await get(`${REPOSITORY}:1`);
    expect(door.asked.length).toBeGreaterThanOrEqual(3);
    expect(
      door.asked.filter((target) => !target.includes(`ns=${encodeURIComponent(registry.host)}`)),
    ).toEqual([]);
    expect(registry.log.entries).toHaveLength(2);
  });

  test('that the agent cannot have is refused with the reason that the agent tells', async () => {
    addArtifact([['a', Buffer.from('a')]]);
    door.unavailable = 'neither r.example nor the cluster can serve this now: the connection was refused';
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow(
      `${door.url.host} answered 503: UNAVAILABLE ${door.unavailable}`,
    );
  });

  test('that breaks on its way is tried again, and why is told', async () => {
    addArtifact([['a', deterministicBytes('a', 3_000_000)]]);
    registry.faults.inject({ kind: 'cut', afterBytes: 1_000_000 }, { route: 'blob', times: 1 });
    await get(`${REPOSITORY}:1`);
    expect(seen.finished).toEqual(['a']);
    expect(seen.retried).toEqual([expect.stringMatching(/^a: the agent: it cut the connection/u)]);
  });

  test('whose token is to be had over plain HTTP only: the option that allows it is named', async () => {
    await using guarded = await UpstreamRegistry.start({
      auth: { kind: 'token', users: [], anonymous: 'all' },
    });
    await using relay = await startDoor(guarded.url);
    const realm = new URL(guarded.realmUrl).host;
    await expect(get(`${REPOSITORY}:1`, {}, { agent: relay.url, plainHosts: [] })).rejects.toThrow(
      `add --plain-http ${realm}`,
    );
  });

  test('shows where the agent had the bytes from', async () => {
    addArtifact([['a', Buffer.alloc(1000, 1)]]);
    door.sources = { cache: 0, peer: 800, origin: 200, upstream: 0 };
    expect((await get(`${REPOSITORY}:1`)).sources).toEqual({ cache: 0, peer: 800, origin: 200, upstream: 0 });
    expect(seen.finished).toEqual(['a: 80 % from peers, 20 % from origin']);
  });

  test.runIf(process.platform === 'linux')('into a place that takes none fails at once', async () => {
    addArtifact([['a', Buffer.from('a')]]);
    await expect(get(`${REPOSITORY}:1`, { directory: '/proc/foo' })).rejects.toThrow(
      'the directory /proc/foo cannot be made',
    );
    expect(registry.log.entries.filter(({ path }) => path.includes('/blobs/'))).toEqual([]);
  });

  test('shows where this pull was from, not those before it', async () => {
    addArtifact([['a', Buffer.alloc(1000, 1)]]);
    door.earlier = { peer: 4000, upstream: 1000 };
    door.sources = { cache: 1000, peer: 0, origin: 0, upstream: 0 };
    await get(`${REPOSITORY}:1`);
    expect(seen.finished).toEqual(['a: 100 % from cache']);
  });

  test.each([
    '../evil',
    '/etc/evil',
    'a/../../evil',
    'a//b',
    './a',
    '.',
    '',
    'a\\b',
    'c:evil',
    'a\u0000b',
    'x'.repeat(300),
  ])('titled %j writes nothing anywhere', async (title) => {
    addArtifact([
      ['good', Buffer.from('good')],
      [title, Buffer.from('evil')],
    ]);
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('is no relative path below the directory');
    expect(await readdir(dir.path)).toEqual([]);
  });

  test('does not follow a symbolic link out of the directory', async () => {
    await mkdir(dir.join('elsewhere'));
    await mkdir(dir.join('out'));
    await symlink('../elsewhere', dir.join('out', 'sub'));
    addArtifact([['sub/file', Buffer.from('evil')]]);
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('is no directory');
    expect(await readdir(dir.join('elsewhere'))).toEqual([]);
  });

  test('replaces a link of its own name instead of writing through it', async () => {
    await mkdir(dir.join('out'));
    await writeFile(dir.join('precious'), 'precious');
    await symlink('../precious', dir.join('out', 'file'));
    addArtifact([['file', Buffer.from('new')]]);
    await get(`${REPOSITORY}:1`);
    expect(await readFile(dir.join('precious'), 'utf8')).toBe('precious');
    expect((await read('file')).toString()).toBe('new');
  });

  test('with one title for two files is refused', async () => {
    addArtifact([
      ['same', Buffer.from('1')],
      ['same', Buffer.from('2')],
    ]);
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('two files are titled "same"');
  });

  test.each([[['a', 'a/b']], [['a/b/c', 'a/b']]])(
    'titled %j, one a file and the directory of the other, is refused before anything is written',
    async (titles) => {
      addArtifact(titles.map((title) => [title, Buffer.from(title)] as const));
      await expect(get(`${REPOSITORY}:1`)).rejects.toThrow(/"a(?:\/b)?" is titled a file, and "a\/b/u);
      await expect(readdir(dir.join('out'))).rejects.toThrow('ENOENT');
    },
  );

  test('fetched again reads nothing that is there, and mends what is damaged', async () => {
    addArtifact([
      ['a', Buffer.from('aaaa')],
      ['b', Buffer.from('bbbb')],
    ]);
    await get(`${REPOSITORY}:1`);
    await writeFile(dir.join('out', 'b'), 'bXbb');
    const before = registry.log.entries.length;
    await get(`${REPOSITORY}:1`);
    expect((await read('b')).toString()).toBe('bbbb');
    expect(registry.log.entries.slice(before).filter(({ path }) => path.includes('/blobs/'))).toHaveLength(1);
  });
});

describe('an image', () => {
  test("becomes an OCI layout of this machine's platform, or of the one named", async () => {
    const image = await makeImage({ dir: dir.join('image'), layers: [500_000] });
    await registry.addImage(REPOSITORY, '1.2', image);
    const fetched = await get(`${REPOSITORY}:1.2`, { platform: { os: 'linux', architecture: 'arm64' } });
    expect(fetched).toMatchObject({ form: 'layout', digest: image.arm64.manifest.digest });
    const index: unknown = JSON.parse((await read('index.json')).toString());
    expect(index).toMatchObject({
      schemaVersion: 2,
      manifests: [
        { digest: image.arm64.manifest.digest, annotations: { 'org.opencontainers.image.ref.name': '1.2' } },
      ],
    });
    expect(JSON.parse((await read('oci-layout')).toString())).toEqual({ imageLayoutVersion: '1.0.0' });
    const wanted = [image.arm64.manifest, image.arm64.config, ...image.arm64.layers];
    expect((await readdir(dir.join('out/blobs/sha256'))).sort()).toEqual(
      [...new Set(wanted.map(({ digest }) => digest.slice(7)))].sort(),
    );
    for (const { digest } of wanted)
      expect(digestOf(await read(`blobs/sha256/${digest.slice(7)}`))).toBe(digest);
  });

  test('joins others in the same layout, and replaces its own earlier self', async () => {
    addArtifact([[undefined, Buffer.from('one')]], '1');
    await get(`${REPOSITORY}:1`);
    addArtifact([[undefined, Buffer.from('two')]], '2');
    await get(`${REPOSITORY}:2`);
    const digest = addArtifact([[undefined, Buffer.from('new one')]], '1');
    await get(`${REPOSITORY}:1`);
    const index: { manifests: { digest: string; annotations: Record<string, string> }[] } = JSON.parse(
      (await read('index.json')).toString(),
    );
    expect(
      index.manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name']),
    ).toEqual(['2', '1']);
    expect(index.manifests[1]?.digest).toBe(digest);
  });

  test('of another platform, where there is no other, is taken, and that is told', async () => {
    const image = await makeImage({ dir: dir.join('image'), layers: [1000] });
    await registry.addImage(REPOSITORY, '1', image);
    await get(`${REPOSITORY}:1`);
    expect(seen.noted).toEqual([]);
    const { digest, size, mediaType } = image.arm64.manifest;
    const platform = { os: 'linux', architecture: 's390x' };
    const index = {
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [{ mediaType, digest, size, platform }],
    };
    registry.content.addManifest(REPOSITORY, index, { tag: 'only' });
    expect((await get(`${REPOSITORY}:only`)).digest).toBe(digest);
    expect(seen.noted).toEqual([
      expect.stringMatching(/^taken for linux\/s390x, .* this machine is linux\//u),
    ]);
    await get(`${REPOSITORY}:only`, { platform });
    expect(seen.noted).toHaveLength(1);
  });

  test('of a platform that is not there is refused with those that are', async () => {
    const image = await makeImage({ dir: dir.join('image'), layers: [1000] });
    await registry.addImage(REPOSITORY, '1', image);
    await expect(get(`${REPOSITORY}:1`, { platform: { os: 'plan9', architecture: 'mips' } })).rejects.toThrow(
      'there is nothing for plan9/mips: there are "linux/amd64", "linux/arm64',
    );
  });

  test('in a directory that holds something else under index.json leaves that alone', async () => {
    addArtifact([[undefined, Buffer.from('one')]]);
    await mkdir(dir.join('out'));
    await writeFile(dir.join('out/index.json'), '{"mine": true}');
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('is not the index of an OCI layout');
    expect((await read('index.json')).toString()).toBe('{"mine": true}');
  });
});

describe('on a bad line', () => {
  test('a cut connection is resumed by Range, and no byte is read twice', async () => {
    const content = deterministicBytes('long', 4_000_000);
    addArtifact([['long', content]]);
    registry.faults.inject({ kind: 'cut', afterBytes: 1_000_000 }, { route: 'blob', times: 3 });
    await get(`${REPOSITORY}:1`);
    expect((await read('long')).equals(content)).toBe(true);
    const blobs = registry.log.entries.filter(({ path }) => path.includes('/blobs/'));
    expect(blobs.length).toBe(4);
    expect(blobs.slice(1).every(({ range }) => /^bytes=\d+-/.test(range ?? ''))).toBe(true);
    expect(seen.bytes).toBe(content.length);
  });

  test('a line that stays broken ends in an error and leaves no file', async () => {
    addArtifact([['long', deterministicBytes('long', 1_000_000)]]);
    registry.faults.inject({ kind: 'cut', afterBytes: 10 }, { route: 'blob' });
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('did not go on');
    expect(await readdir(dir.join('out'))).toEqual([]);
  });

  test('wrong bytes never get their name', async () => {
    addArtifact([['file', deterministicBytes('x', 100_000)]]);
    registry.faults.inject({ kind: 'corrupt', offset: 99_999 }, { route: 'blob' });
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('does not match it');
    expect(await readdir(dir.join('out'))).toEqual([]);
  });

  test('a wrong manifest is refused by tag and by digest', async () => {
    const digest = addArtifact([['file', Buffer.from('x')]]);
    registry.faults.inject({ kind: 'corrupt', offset: 20 }, { route: 'manifest' });
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('does not match it');
    await expect(get(`${REPOSITORY}@${digest}`)).rejects.toThrow('does not match it');
  });

  test('a blob of another size than its manifest says is refused', async () => {
    const content = Buffer.from('twelve bytes');
    const digest = registry.content.addBlob(REPOSITORY, content);
    const layer = { mediaType: 'a/b', digest, size: 5, annotations: { [TITLE]: 'file' } };
    registry.content.addManifest(
      REPOSITORY,
      {
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: layer,
        layers: [layer],
      },
      { tag: '1' },
    );
    await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('has more than the 5 bytes that its manifest names');
    expect(await readdir(dir.join('out'))).toEqual([]);
  });

  test('an interrupted fetch leaves no half file', async () => {
    addArtifact([['file', deterministicBytes('x', 2_000_000)]]);
    registry.configure({ bytesPerSecond: 200_000 });
    const interrupt = new AbortController();
    const asked = get(`${REPOSITORY}:1`, { signal: interrupt.signal });
    await expect.poll(() => seen.bytes, PATIENT).toBeGreaterThan(0);
    interrupt.abort(new Error('interrupted'));
    await expect(asked).rejects.toThrow('interrupted');
    expect(await readdir(dir.join('out'))).toEqual([]);
  });
});

function login(password: string): Partial<MirrorOptions> {
  const auth = Buffer.from(`jo:${password}`).toString('base64');
  return { credentials: parseDockerConfig(JSON.stringify({ auths: { [registry.host]: { auth } } })) };
}

describe('a private repository', () => {
  const users = [{ name: 'jo', password: 'right', repositories: 'all' }] as const;

  test.each(['basic', 'token'] as const)(
    'is read with the right %s credentials, and with none or wrong ones it is not',
    async (kind) => {
      registry.configure({ auth: kind === 'token' ? { kind, users, realm: 'other' } : { kind, users } });
      addArtifact([['file', Buffer.from('private')]]);
      await expect(get(`${REPOSITORY}:1`)).rejects.toThrow('401');
      await expect(get(`${REPOSITORY}:1`, {}, login('wrong'))).rejects.toThrow('401');
      expect(await readdir(dir.path)).toEqual([]);
      await get(`${REPOSITORY}:1`, {}, login('right'));
      expect((await read('file')).toString()).toBe('private');
    },
  );

  test('a password goes to the realm alone, never through the agent', async () => {
    registry.configure({ auth: { kind: 'token', users, realm: 'other' } });
    addArtifact([['file', Buffer.from('private')]]);
    await get(`${REPOSITORY}:1`, {}, login('right'));
    const kinds = registry.log.entries.map(({ part, authorization }) => `${part} ${authorization}`);
    expect(new Set(kinds.filter((kind) => kind.startsWith('registry')))).toEqual(
      new Set(['registry none', 'registry bearer']),
    );
    expect(kinds).toContain('realm basic');
  });
});

import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { filesBelow, makeImage, type Image } from '../../../demo/image.ts';
import type { ImageBlob } from '../../../demo/oci-layout.ts';
import { helloBinary } from '../../../demo/hello-binary.ts';
import { tarStream, type TarEntry } from '../../../demo/tar.ts';
import { deterministicBytes, sha256OfStream } from '../../support/bytes.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const run = promisify(execFile);

async function json(blob: ImageBlob): Promise<unknown> {
  return JSON.parse(await readFile(blob.path, 'utf8'));
}

async function unpack(entries: readonly TarEntry[], into: string): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of tarStream(entries)) chunks.push(chunk);
  await writeFile(`${into}/a.tar`, Buffer.concat(chunks));
  await run('tar', ['--extract', '--file', `${into}/a.tar`, '--directory', into, '--no-same-owner']);
}

describe('a tar archive', () => {
  test('is unpacked by tar to the same files, modes and links, long names included', async () => {
    await using dir = await temporaryDirectory();
    const prefixed = `${'deep/'.repeat(30)}file`;
    const longer = `${'d'.repeat(120)}/${'é'.repeat(100)}`;
    await unpack(
      [
        { type: 'directory', name: 'empty' },
        { ...namesake('short'), mode: 0o750 },
        namesake(prefixed),
        namesake(longer),
        { type: 'symlink', name: 'link', target: 'short' },
        { type: 'file', name: 'big', source: { kind: 'generated', seed: 's', size: 1_000_001 } },
        { type: 'file', name: 'node', source: await onDisk(process.execPath) },
      ],
      dir.path,
    );
    expect(await readdir(dir.join('empty'))).toEqual([]);
    expect((await stat(dir.join('short'))).mode & 0o777).toBe(0o750);
    for (const name of ['short', prefixed, longer]) expect(await readFile(dir.join(name), 'utf8')).toBe(name);
    expect(await readlink(dir.join('link'))).toBe('short');
    expect((await readFile(dir.join('big'))).equals(deterministicBytes('s', 1_000_001))).toBe(true);
    const [copy, original] = [dir.join('node'), process.execPath].map((path) => createReadStream(path));
    expect(await sha256OfStream(copy!)).toEqual(await sha256OfStream(original!));
  });

  test('is refused when a file shrank under it, rather than made wrong', async () => {
    await using dir = await temporaryDirectory();
    await writeFile(dir.join('f'), 'short');
    const source = { kind: 'disk', path: dir.join('f'), size: 100 } as const;
    const packing = unpack([{ type: 'file', name: 'f', source }], dir.path);
    await expect(packing).rejects.toThrow('ended at 5 bytes while 100 were promised');
  });
});

/** A file that contains its own name. */
function namesake(name: string): TarEntry & { type: 'file' } {
  return { type: 'file', name, source: { kind: 'bytes', bytes: Buffer.from(name) } };
}

async function onDisk(path: string): Promise<{ kind: 'disk'; path: string; size: number }> {
  return { kind: 'disk', path, size: (await stat(path)).size };
}

describe('an image', () => {
  test('names only blobs that are there, with their true digests and sizes, and true diff IDs', async () => {
    await using dir = await temporaryDirectory();
    const image = await makeImage({ dir: dir.path, layers: [300_000, { size: 1000, compression: 'none' }] });
    for (const { digest, size, path } of image.blobs.values()) {
      const { sha256, bytes } = await sha256OfStream(createReadStream(path));
      expect([`sha256:${sha256}`, bytes]).toEqual([digest, size]);
    }
    for (const platform of [image.amd64, image.arm64]) await expectConsistent(platform);
    expect(image.layers.map((layer) => layer.mediaType.endsWith('+gzip'))).toEqual([false, true, false]);
    expect(image.layers[1]!.size).toBeGreaterThan(300_000);
    expect(image.layers[1]!.size).toBeLessThan(310_000);
    const pulled = [image.index, image.amd64.manifest, image.amd64.config, ...image.layers];
    expect(image.totalBytes).toBe(pulled.reduce((total, blob) => total + blob.size, 0));
  });

  test('is the same for the same seed and another for another seed', async () => {
    await using dir = await temporaryDirectory();
    const digestFor = async (name: string, seed: string): Promise<string> =>
      (await makeImage({ dir: dir.join(name), layers: [5000], seed })).index.digest;
    const first = await digestFor('a', 'x');
    expect(await digestFor('b', 'x')).toBe(first);
    expect(await digestFor('c', 'y')).not.toBe(first);
  });

  test('has a layout on disk and an index for amd64 and arm64', async () => {
    await using dir = await temporaryDirectory();
    const image = await makeImage({ dir: dir.path, layers: [5000] });
    const layout: { manifests: object[] } = JSON.parse(await readFile(dir.join('index.json'), 'utf8'));
    expect(layout.manifests).toMatchObject([{ digest: image.index.digest, size: image.index.size }]);
    expect(await json(image.index)).toMatchObject({
      schemaVersion: 2,
      manifests: [
        { digest: image.amd64.manifest.digest, platform: { architecture: 'amd64', os: 'linux' } },
        { digest: image.arm64.manifest.digest, platform: { architecture: 'arm64', os: 'linux' } },
      ],
    });
    expect(await readdir(dir.join('blobs/sha256'))).toHaveLength(image.blobs.size);
  });

  test('carries real files of the machine, no more than asked for', async () => {
    await using dir = await temporaryDirectory();
    const files = await filesBelow('node_modules/yaml/dist', 'usr/lib/yaml', 200_000);
    const image = await makeImage({ dir: dir.path, layers: [{ files }] });
    const { stdout } = await run('tar', ['--list', '--gzip', '--file', image.layers[1]!.path]);
    expect(stdout.trim().split('\n')).toEqual(files.map((file) => file.name));
    expect(files.length).toBeGreaterThan(5);
    expect(files.every((file) => /^usr\/lib\/yaml\/[^/]/.test(file.name))).toBe(true);
    const total = (await stat(image.layers[1]!.path)).size;
    expect(total).toBeLessThan(200_000);
  });
});

function plain({ mediaType, digest, size }: ImageBlob): object {
  return { mediaType, digest, size };
}

async function expectConsistent({ manifest, config, layers, architecture }: Image['amd64']): Promise<void> {
  expect(await json(manifest)).toMatchObject({ config: plain(config), layers: layers.map(plain) });
  const diffIds: string[] = [];
  for (const { path, mediaType } of layers) {
    const file = createReadStream(path);
    const tar = mediaType.endsWith('+gzip') ? file.pipe(createGunzip()) : file;
    diffIds.push(`sha256:${(await sha256OfStream(tar)).sha256}`);
  }
  expect(await json(config)).toMatchObject({ architecture, os: 'linux', rootfs: { diff_ids: diffIds } });
}

describe('the program inside the image', () => {
  test.runIf(process.platform === 'linux' && process.arch === 'x64')(
    'runs and says its message',
    async () => {
      await using dir = await temporaryDirectory();
      await writeFile(dir.join('hello'), helloBinary('amd64', 'hello, shoal\n'), { mode: 0o755 });
      expect((await run(dir.join('hello'))).stdout).toBe('hello, shoal\n');
    },
  );

  test.runIf(process.platform === 'linux' && process.arch === 'arm64')('runs on arm64', async () => {
    await using dir = await temporaryDirectory();
    await writeFile(dir.join('hello'), helloBinary('arm64', 'hello, shoal\n'), { mode: 0o755 });
    expect((await run(dir.join('hello'))).stdout).toBe('hello, shoal\n');
  });
});

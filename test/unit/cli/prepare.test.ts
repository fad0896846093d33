import { chmod, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { claimDataDirectory } from '#service/data-directory.ts';
import { Layout } from '#swarm/store/layout.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { runShoal } from './shoal-process.ts';

const isRoot = process.getuid?.() === 0;

/** A directory as a part leaves it. */
async function makeStore(directory: string): Promise<void> {
  await new Layout(directory).prepare();
  await mkdir(join(directory, 'v1/blobs/sha256-a'));
  for (const name of ['v1/blobs/sha256-a/data', 'v1/unclean', 'lock.sock', '.l0123af', 'anonymous.json'])
    await writeFile(join(directory, name), '');
}

/** All that is below a directory. */
const contentOf = async (directory: string): Promise<string[]> =>
  (await readdir(directory, { recursive: true })).toSorted();

test.runIf(isRoot)("a part's directory is made for its user, and what is in one stays", async () => {
  await using dir = await temporaryDirectory('prepare');
  await makeStore(dir.join('store'));
  await mkdir(dir.join('volume/lost+found'), { recursive: true });
  const before = await contentOf(dir.join('store'));
  for (const path of ['store', 'volume', 'new/store']) {
    expect((await runShoal(['prepare', dir.join(path), '--owner', '65532:65533'])).code).toBe(0);
    const { uid, gid, mode } = await stat(dir.join(path));
    expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: 65_532, gid: 65_533, mode: 0o700 });
  }
  expect(await contentOf(dir.join('store'))).toEqual(before);
});

test("a directory with something else in it does not become a part's", async () => {
  await using dir = await temporaryDirectory('prepare');
  await mkdir(dir.join('home/me'), { recursive: true });
  await chmod(dir.join('home'), 0o755);
  const { code, stderr } = await runShoal(['prepare', dir.join('home'), '--owner', '65532:65532']);
  expect([code, stderr]).toEqual([1, expect.stringContaining('left as it is')]);
  const { uid, mode } = await stat(dir.join('home'));
  expect([uid, mode & 0o777]).toEqual([process.getuid?.(), 0o755]);
});

test('a directory that is its user’s already is left as it is', async () => {
  await using dir = await temporaryDirectory('prepare');
  await chmod(dir.path, 0o750);
  const owner = `${process.getuid?.()}:${process.getgid?.()}`;
  expect((await runShoal(['prepare', dir.path, '--owner', owner])).code).toBe(0);
  expect((await stat(dir.path)).mode & 0o777).toBe(0o750);
});

test.each(['root', '65532', '1:-1'])('an owner such as %s is refused', async (owner) => {
  await using dir = await temporaryDirectory('prepare');
  const { code, stderr } = await runShoal(['prepare', dir.path, '--owner', owner]);
  expect(code).toBe(2);
  expect(stderr).toContain('65532:65532');
});

test('a directory is emptied, and stays itself', async () => {
  await using dir = await temporaryDirectory('prepare');
  await makeStore(dir.join('store'));
  await mkdir(dir.join('store/lost+found'));
  for (const _time of ['full', 'empty']) {
    expect((await runShoal(['prepare', dir.join('store'), '--empty'])).code).toBe(0);
    expect(await readdir(dir.join('store'))).toEqual(['lost+found']);
  }
});

test.each<[string, (directory: string) => Promise<unknown>, string]>([
  ['with a v1 of something else', (api) => mkdir(join(api, 'v1/users'), { recursive: true }), 'v1/blobs'],
  [
    'with half of a layout',
    (half) => mkdir(join(half, 'v1/blobs'), { recursive: true }),
    'no directory v1/partial',
  ],
  [
    'with a store and a file beside it',
    async (mixed) => {
      await makeStore(mixed);
      await writeFile(join(mixed, 'letters.txt'), '');
    },
    'there is "letters.txt" in it',
  ],
  [
    'whose v1 is a link to a store elsewhere',
    async (linked) => {
      await makeStore(`${linked}-elsewhere`);
      await mkdir(linked);
      await symlink(`${linked}-elsewhere/v1`, join(linked, 'v1'));
    },
    'no directory v1 in it',
  ],
])('a directory %s is no store: it is neither emptied nor handed over', async (_which, make, words) => {
  await using dir = await temporaryDirectory('prepare');
  const directory = dir.join('data');
  await make(directory);
  await chmod(directory, 0o755);
  const before = await contentOf(dir.path);
  for (const options of [['--empty'], ['--owner', '65532:65532']]) {
    const { code, stderr } = await runShoal(['prepare', directory, ...options]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(words)]);
  }
  expect(await contentOf(dir.path)).toEqual(before);
  const { uid, mode } = await stat(directory);
  expect([uid, mode & 0o777]).toEqual([process.getuid?.(), 0o755]);
});

test('what is no store, and a store in use, are not emptied', async () => {
  await using dir = await temporaryDirectory('prepare');
  await mkdir(dir.join('other/v2'), { recursive: true });
  const other = await runShoal(['prepare', dir.join('other'), '--empty']);
  expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('nothing was removed')]);
  await makeStore(dir.join('store'));
  await rm(dir.join('store/lock.sock'));
  await using _part = await claimDataDirectory(dir.join('store'));
  const used = await runShoal(['prepare', dir.join('store'), '--empty']);
  expect([used.code, used.stderr]).toEqual([1, expect.stringContaining('another process already uses')]);
  expect(await readdir(dir.join('store'))).toContain('v1');
});

test.each([[['keygen', '--out']], [['prepare', '--owner', '1:1']], [['dev', '--dir']]])(
  '%j ends where nothing can be made',
  async (command) => {
    const { code, stderr } = await runShoal([...command, '/proc/nothing/here']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('/proc')]);
  },
);

test.each([[[]], [['--empty', '--owner', '1:1']]])('%j says not what is wanted', async (options) => {
  await using dir = await temporaryDirectory('prepare');
  await writeFile(dir.join('kept'), '');
  const { code, stderr } = await runShoal(['prepare', dir.path, ...options]);
  expect(code).toBe(2);
  expect(stderr).toContain('one of them is needed');
  expect(await readdir(dir.path)).toEqual(['kept']);
});

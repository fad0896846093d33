import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { isNeeded } from '../../../deploy/image/base.ts';
import { entriesBelow } from '../../../deploy/image/tree.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('a tree becomes the same entries whatever its order, times and exact modes', async () => {
  await using dir = await temporaryDirectory('tree');
  await mkdir(dir.join('b/empty'), { recursive: true });
  await writeFile(dir.join('b/z.ts'), 'z');
  await writeFile(dir.join('b/a.ts'), 'a');
  await writeFile(dir.join('run'), '#!');
  await chmod(dir.join('run'), 0o711);
  await chmod(dir.join('b/a.ts'), 0o600);
  await symlink('run', dir.join('link'));
  const entries = await entriesBelow(dir.path, 'opt/app');
  expect(entries.map(({ type, name }) => `${type} ${name}`)).toEqual([
    'directory opt',
    'directory opt/app',
    'directory opt/app/b',
    'file opt/app/b/a.ts',
    'file opt/app/b/z.ts',
    'symlink opt/app/link',
    'file opt/app/run',
  ]);
  expect(entries.find(({ name }) => name.endsWith('run'))).toMatchObject({ mode: 0o755 });
  expect(entries.find(({ name }) => name.endsWith('a.ts'))).toMatchObject({ mode: 0o644 });
});

test('what is not wanted is left out, with the directories that held nothing else', async () => {
  await using dir = await temporaryDirectory('tree');
  await mkdir(dir.join('types'));
  await writeFile(dir.join('types/a.d.ts'), '');
  await writeFile(dir.join('a.js'), '');
  const entries = await entriesBelow(dir.path, '', (path) => path.endsWith('.js'));
  expect(entries.map(({ name }) => name)).toEqual(['a.js']);
});

test.each([
  ['lib/x86_64-linux-gnu/libc.so.6', true],
  ['usr/lib/aarch64-linux-gnu/libstdc++.so.6.0.30', true],
  ['lib64/ld-linux-x86-64.so.2', true],
  ['usr/lib/x86_64-linux-gnu/gconv/UTF-16.so', false],
  ['usr/share/gdb/auto-load/usr/lib/x.so.6-gdb.py', false],
  ['usr/share/doc/libc6/copyright', true],
  ['usr/share/doc/libc6/changelog.Debian.gz', false],
  ['var/lib/dpkg/status.d/libc6', true],
  ['etc/ld.so.conf.d/x.conf', false],
])('of Debian, %s goes into the image: %s', (path, wanted) => {
  expect(isNeeded(path)).toBe(wanted);
});

import { stat, symlink, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { claimDataDirectory } from '#service/data-directory.ts';
import { makeDirectory } from '#service/make-directory.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('a directory is made with those above it, of the mode that is asked for', async () => {
  await using dir = await temporaryDirectory();
  expect(await makeDirectory(dir.join('a/b/c'), 0o700)).toBe(dir.join('a'));
  expect((await stat(dir.join('a/b/c'))).mode & 0o777).toBe(0o700);
  expect(await makeDirectory(dir.join('a/b/c'))).toBeUndefined();
});

test('many that make the same directory at once all find it made', async () => {
  await using dir = await temporaryDirectory();
  await Promise.all(Array.from({ length: 8 }, () => makeDirectory(dir.join('a/b/c'))));
  expect((await stat(dir.join('a/b/c'))).isDirectory()).toBe(true);
});

test('a file in the way is named', async () => {
  await using dir = await temporaryDirectory();
  await writeFile(dir.join('file'), '');
  await expect(makeDirectory(dir.join('file/below'))).rejects.toThrow(
    `${dir.join('file')} is not a directory`,
  );
  await symlink(dir.join('nowhere'), dir.join('link'));
  await expect(makeDirectory(dir.join('link/below'))).rejects.toThrow('cannot be made');
});

test.runIf(process.platform === 'linux')('where names cannot be made it fails at once', async () => {
  await expect(makeDirectory('/proc/foo/bar')).rejects.toThrow(
    'the directory /proc/foo/bar cannot be made: nothing can be made in /proc (ENOENT',
  );
  await expect(claimDataDirectory('/proc/foo')).rejects.toThrow('/proc/foo cannot be made');
});

import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { readSource } from '../../../deploy/image/source.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../../support/temporary-directory.ts';

const MANIFEST = {
  version: '1.2.3',
  description: 'd',
  license: 'Apache-2.0',
  imports: { '#cli/*': './cli/*' },
};

async function project(): Promise<TemporaryDirectory & { git(...args: string[]): string }> {
  const dir = await temporaryDirectory('source');
  await writeFile(dir.join('package.json'), JSON.stringify(MANIFEST));
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      cwd: dir.path,
      encoding: 'utf8',
      env: { ...process.env, GIT_COMMITTER_DATE: '2026-01-02T03:04:05Z' },
    }).trim();
  return Object.assign(dir, { git });
}

test('the image is of the commit and has its time', async () => {
  await using dir = await project();
  dir.git('init', '-q');
  dir.git('add', '.');
  dir.git('commit', '-qm', 'one');
  expect(await readSource(dir.path, {})).toMatchObject({
    version: '1.2.3',
    folders: ['cli'],
    revision: dir.git('rev-parse', 'HEAD'),
    created: '2026-01-02T03:04:05Z',
  });
});

test('an image of changed files says so', async () => {
  await using dir = await project();
  dir.git('init', '-q');
  dir.git('add', '.');
  dir.git('commit', '-qm', 'one');
  await writeFile(dir.join('package.json'), JSON.stringify({ ...MANIFEST, version: '1.2.4' }));
  expect((await readSource(dir.path, {})).revision).toMatch(/^[0-9a-f]{40}-dirty$/);
});

test('sources without git need no git; SOURCE_DATE_EPOCH gives the time', async () => {
  await using dir = await project();
  const source = await readSource(dir.path, {
    SOURCE_DATE_EPOCH: '86400',
    GIT_CEILING_DIRECTORIES: dir.path,
  });
  expect(source).toMatchObject({ revision: 'unknown', created: '1970-01-02T00:00:00Z' });
});

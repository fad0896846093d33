import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import manifest from '../../../package.json' with { type: 'json' };

import { readBaseLock } from '../../../deploy/image/base-lock.ts';
import { LIBRARIES } from '../../../deploy/image/debian.ts';
import { describeContents } from '../../../deploy/image/sbom.ts';
import { PLATFORMS } from '../../../deploy/image/platform.ts';
import { lockedNode } from '../../../deploy/image/update.ts';

const PROJECT = join(import.meta.dirname, '..', '..', '..');
const folders = Object.keys(manifest.imports).map((name) => name.slice(1, -2));
const read = (path: string): string => readFileSync(join(PROJECT, path), 'utf8');

test('the image has the Node that the tests run on, else: npm run image -- --update-base', async () => {
  const { node } = await readBaseLock();
  expect(node.version).toBe(await lockedNode(PROJECT));
});

test('every library is pinned for every platform', async () => {
  const { debian } = await readBaseLock();
  expect(Object.keys(debian.packages)).toEqual([...LIBRARIES]);
  for (const pinned of Object.values(debian.packages))
    for (const { architecture } of PLATFORMS) expect(pinned[architecture]).toMatch(/^[0-9a-f]{64}$/);
});

test('the Dockerfile copies every folder that has programs', () => {
  const copied = [...read('deploy/Dockerfile').matchAll(/^COPY (\w+) \1$/gm)].map(([, name]) => name);
  expect(copied).toEqual(folders);
});

test('the list of contents names production packages, Node and the libraries, and is the same each time', async () => {
  const lock = await readBaseLock();
  const [platform] = PLATFORMS;
  const contents = await describeContents(PROJECT, lock, platform!);
  const names = contents.components.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['fastify', 'undici', 'node', 'libc6']));
  expect(names).not.toContain('vitest');
  expect(await describeContents(PROJECT, lock, platform!)).toEqual(contents);
});

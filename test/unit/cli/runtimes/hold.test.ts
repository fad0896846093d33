import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { configure } from '#cli/runtimes/configure.ts';
import type { Configured } from '#cli/runtimes/configure.ts';
import { hold } from '#cli/runtimes/hold.ts';

import { temporaryDirectory } from '../../../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../support/temporary-directory.ts';
import { readTree, writeTree } from './files.ts';

const MAIN = '/etc/containerd/config.toml';
const CONFIG =
  'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/etc/containerd/certs.d"\n';
const HOSTS = '/etc/containerd/certs.d/_default/hosts.toml';

let dir: TemporaryDirectory;
let stopping: AbortController;
let told: Configured[];
beforeEach(async () => {
  dir = await temporaryDirectory('hold');
  stopping = new AbortController();
  told = [];
});
afterEach(() => dir[Symbol.asyncDispose]());

const tell = (done: Configured): void => void told.push(done);

function start(): Promise<void> {
  const options = { registries: undefined, agent: new URL('http://127.0.0.1:29500'), root: dir.path };
  const report = dir.join('report');
  return hold('containerd', options, { tell, signal: stopping.signal, report, checkMs: 10 });
}

const hosts = (): Promise<string> => readFile(dir.join(HOSTS), 'utf8').catch(() => '');
const report = (): Promise<string> => readFile(dir.join('report'), 'utf8').catch(() => 'none');

test('the mirror stays while it is held; afterwards every byte is as before', async () => {
  await writeTree(dir.path, { [MAIN]: CONFIG, [HOSTS]: '# own\nserver = "https://example"\n' });
  const before = await readTree(dir.path);
  const held = start();
  await expect.poll(hosts).toContain('127.0.0.1:29500');
  stopping.abort();
  await held;
  expect(await readTree(dir.path)).toEqual(before);
});

test('a node that crashed is gone on with, and is as before at the end', async () => {
  await writeTree(dir.path, { [MAIN]: CONFIG });
  const before = await readTree(dir.path);
  const options = { registries: undefined, agent: new URL('http://127.0.0.1:29500'), root: dir.path };
  await configure('containerd', { ...options, remove: false });
  await hold('containerd', options, { tell: () => {}, signal: AbortSignal.abort() });
  expect(await readTree(dir.path)).toEqual(before);
});

test('a mirror that somebody takes away comes back', async () => {
  await writeTree(dir.path, { [MAIN]: CONFIG });
  const held = start();
  await expect.poll(hosts).not.toBe('');
  await rm(dir.join(HOSTS));
  await expect.poll(hosts).toContain('127.0.0.1:29500');
  stopping.abort();
  await held;
});

test('without a config_path it says once what to add, and goes on as soon as it is there', async () => {
  await writeTree(dir.path, { [MAIN]: 'version = 3\n' });
  const held = start();
  await expect.poll(() => told.length).toBe(1);
  expect(told[0]?.advice.join('')).toContain('config_path');
  await expect.poll(report).toContain('config_path');
  await writeFile(dir.join(MAIN), CONFIG);
  await expect.poll(hosts).toContain('127.0.0.1:29500');
  await expect.poll(report).toBe('none');
  expect(told).toHaveLength(2);
  stopping.abort();
  await held;
});

test('a registry that bypasses the mirror by a directory of its own is told of once; the mirror is in place', async () => {
  const own = '/etc/containerd/certs.d/ghcr.io/hosts.toml';
  await writeTree(dir.path, { [MAIN]: CONFIG, [own]: 'server = "https://ghcr.io"\n' });
  const before = await readTree(dir.path);
  const held = start();
  await expect.poll(() => told[0]?.advice.join('')).toContain('pulls from ghcr.io bypass Shoal');
  await rm(dir.join(HOSTS));
  await expect.poll(hosts).toContain('127.0.0.1:29500');
  expect(await report()).toBe('none');
  stopping.abort();
  await held;
  expect(told.slice(1, -1).every(({ changes }) => changes.some(({ change }) => change === 'written'))).toBe(
    true,
  );
  expect(await readTree(dir.path)).toEqual(before);
});

test('a file that cannot be merged is told of, left alone, and tried again', async () => {
  await writeTree(dir.path, { [MAIN]: CONFIG, [HOSTS]: 'server = ' });
  const held = start();
  await expect.poll(() => told[0]?.advice.join('')).toContain('nothing was changed');
  expect(await hosts()).toBe('server = ');
  await expect.poll(report).toContain('nothing was changed');
  await writeFile(dir.join(HOSTS), '');
  await expect.poll(hosts).toContain('127.0.0.1:29500');
  stopping.abort();
  await held;
});

test.each([
  ['is in place', CONFIG],
  ['cannot be put in place', 'version = 3\n'],
])(
  'a report that can be neither written nor removed is told of; the mirror, which %s, is held and taken back',
  async (_how, config) => {
    await writeTree(dir.path, { [MAIN]: config });
    await mkdir(dir.join('report'));
    const before = await readTree(dir.path);
    const held = start();
    await expect.poll(() => told.at(-1)?.advice.join('')).toContain('report');
    await writeFile(dir.join(MAIN), CONFIG);
    await expect.poll(hosts).toContain('127.0.0.1:29500');
    stopping.abort();
    await held;
    await writeFile(dir.join(MAIN), config);
    expect(await readTree(dir.path)).toEqual(before);
  },
);

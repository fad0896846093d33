import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import manifest from '../../../package.json' with { type: 'json' };

import { bundlePrograms } from '../../../deploy/image/bundle.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../../support/temporary-directory.ts';

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

test('the joined programs run by themselves, and the licences of what is in them lie beside', async () => {
  await using dir = await temporaryDirectory('bundle');
  await bundlePrograms(PROJECT, dir.path);
  const shoal = async (...args: string[]): Promise<string> =>
    (await run(process.execPath, [dir.join('cli/shoal.js'), ...args], { cwd: dir.path })).stdout;
  expect(await shoal('--version')).toBe(`${manifest.version}\n`);
  const commands = (await readdir(`${PROJECT}/cli/commands`)).map((name) => name.replace(/\.ts$/, ''));
  const help = await shoal('--help');
  for (const command of commands) expect(help).toContain(`\n  ${command} `);
  expect(await shoal('agent', '--help')).toContain('--door.listen');
  expect((await readdir(dir.join('cli'))).filter((name) => !name.endsWith('.js'))).toEqual([]);
  expect(await readFile(dir.join('licenses/undici/LICENSE'), 'utf8')).toContain('MIT');
  expect(await readFile(dir.join('licenses/@fastify/deepmerge/NOTICES-IN-MODULES'), 'utf8')).toContain(
    'James Halliday',
  );
  expect(await readdir(dir.join('licenses'))).toContain('stream-buffers');
  expect(await readdir(dir.join('licenses'))).not.toContain('vitest');
});

test('what is equal is joined to the same, wherever it lies and whatever lies above it', async () => {
  await using dir = await temporaryDirectory('bundle');
  for (const name of ['a', 'b']) await copyProject(dir.join(name, 'project'));
  await writeFile(dir.join('b/tsconfig.json'), '{"compilerOptions":{"target":"es2017"}}');
  await symlink('b/project', dir.join('link'));
  const [one, ...others] = await Promise.all(
    ['a/project', 'b/project', 'link'].map(async (project, index) => {
      await bundlePrograms(dir.join(project), dir.join(`out-${index}`));
      return readAll(dir.join(`out-${index}`, 'cli'));
    }),
  );
  expect(Object.keys(one!).length).toBeGreaterThan(20);
  for (const other of others) expect(other).toEqual(one);
});

async function copyProject(directory: string): Promise<void> {
  const folders = Object.keys(manifest.imports).map((name) => name.slice(1, -2));
  for (const name of ['package.json', 'package-lock.json', 'LICENSE', ...folders])
    await cp(join(PROJECT, name), join(directory, name), { recursive: true });
  await symlink(join(PROJECT, 'node_modules'), join(directory, 'node_modules'));
}

async function readAll(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory);
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), 'utf8')])),
  );
}

describe('a project', () => {
  let dir: TemporaryDirectory;
  beforeEach(async () => {
    dir = await temporaryDirectory('bundle');
    await mkdir(dir.join('cli'));
    await mkdir(dir.join('node_modules/used'), { recursive: true });
    await cp(join(PROJECT, 'package-lock.json'), dir.join('package-lock.json'));
    await writeFile(dir.join('package.json'), '{"type":"module"}');
    await writeFile(dir.join('LICENSE'), '');
    await writeFile(dir.join('cli/shoal.ts'), "import { x } from 'used';\nconsole.log(x);\n");
    await writeFile(dir.join('node_modules/used/index.js'), 'exports.x = 7;\n');
    await writeFile(dir.join('node_modules/used/Licence.md'), 'do as you like');
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  test('is joined, and what an earlier one left is gone', async () => {
    await mkdir(dir.join('out/cli'), { recursive: true });
    await writeFile(dir.join('out/cli/old.js'), '');
    await bundlePrograms(dir.path, dir.join('out'));
    expect(await readdir(dir.join('out/cli'))).not.toContain('old.js');
    expect(await readdir(dir.join('out/licenses/used'))).toEqual(['Licence.md']);
    expect((await run(process.execPath, [dir.join('out/cli/shoal.js')])).stdout).toBe('7\n');
  });

  test('is joined to characters that V8 keeps in one byte each, with notices and without other comments', async () => {
    await writeFile(
      dir.join('node_modules/used/index.js'),
      '/** @license © me */\n/** … */\nexports.x = `…${/[\u3042]/u.test("あ")}`; // ─\n',
    );
    await bundlePrograms(dir.path, dir.join('out'));
    const code = await readFile(dir.join('out/cli/shoal.js'), 'utf8');
    expect(code).not.toMatch(/[^\0-\u00ff]/u);
    expect(code).toContain('© me');
    expect((await run(process.execPath, [dir.join('out/cli/shoal.js')])).stdout).toBe('…true\n');
  });

  test('whose notice would double its memory is not joined', async () => {
    await writeFile(dir.join('node_modules/used/index.js'), '/*! © 2026 Michał */\nexports.x = 7;\n');
    await expect(bundlePrograms(dir.path, dir.join('out'))).rejects.toThrow('has "ł"');
  });

  test('is joined with what its modules say of who has the rights, beside it', async () => {
    const code =
      '// MIT\n// Copyright (c) 2012 Me, and\n// others\nexports.x = 7;\n// what follows is not of it\n';
    await writeFile(dir.join('node_modules/used/index.js'), code);
    await bundlePrograms(dir.path, dir.join('out'));
    const notices = await readFile(dir.join('out/licenses/used/NOTICES-IN-MODULES'), 'utf8');
    expect(notices).toBe('// MIT\n// Copyright (c) 2012 Me, and\n// others\n');
  });

  test('whose module lacks a name is not joined', async () => {
    await writeFile(dir.join('cli/other.ts'), 'export const there: number = 1;\n');
    await writeFile(dir.join('cli/shoal.ts'), "import { gone } from './other.ts';\nconsole.log(gone);\n");
    await expect(bundlePrograms(dir.path, dir.join('out'))).rejects.toThrow('gone');
  });

  test('with a package whose licence is nowhere is not joined', async () => {
    await rm(dir.join('node_modules/used/Licence.md'));
    await expect(bundlePrograms(dir.path, dir.join('out'))).rejects.toThrow('used has no licence file');
  });

  test('that locks another bundler is not joined', async () => {
    const packages = { 'node_modules/rolldown': { version: '0.1.0' } };
    await writeFile(dir.join('package-lock.json'), JSON.stringify({ packages }));
    await expect(bundlePrograms(dir.path, dir.join('out'))).rejects.toThrow('package-lock.json has 0.1.0');
  });
});

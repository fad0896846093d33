import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

import manifest from '../../../package.json' with { type: 'json' };

import { bundlePrograms } from '../../../deploy/image/bundle.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

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
  expect(await readdir(dir.join('licenses'))).not.toContain('vitest');
});

test('what is equal is joined to the same', async () => {
  await using dir = await temporaryDirectory('bundle');
  await bundlePrograms(PROJECT, dir.join('a'));
  await bundlePrograms(PROJECT, dir.join('b'));
  const names = await readdir(dir.join('a/cli'));
  expect(await readdir(dir.join('b/cli'))).toEqual(names);
  for (const name of names)
    expect(await readFile(dir.join('b/cli', name), 'utf8')).toBe(
      await readFile(dir.join('a/cli', name), 'utf8'),
    );
});

test('a name that a module does not have is told of when the programs are joined', async () => {
  await using dir = await temporaryDirectory('bundle');
  await mkdir(dir.join('cli'));
  await writeFile(dir.join('package.json'), '{"type":"module"}');
  await writeFile(dir.join('LICENSE'), '');
  await writeFile(dir.join('cli/other.ts'), 'export const there: number = 1;\n');
  await writeFile(dir.join('cli/shoal.ts'), "import { gone } from './other.ts';\nconsole.log(gone);\n");
  await expect(bundlePrograms(dir.path, dir.join('out'))).rejects.toThrow('gone');
});

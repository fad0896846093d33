import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { makePlain, plainModule } from '../../../deploy/image/plain-modules.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('types go, lines and columns stay, and other modules are found by their new names', () => {
  const text = [
    "import type { A } from './a.ts';",
    "import { b } from '#cli/b.ts';",
    "const path = new URL('../c.ts', import.meta.url);",
    "export const load = async (x: A): Promise<B> => import('./d.ts');",
    "const told = 'a file.ts of yours';",
  ];
  const lines = plainModule(text.join('\n')).split('\n');
  expect(lines.map((line) => line.trim().replaceAll(/ +/g, ' '))).toEqual([
    '',
    "import { b } from '#cli/b.js';",
    "const path = new URL('../c.js', import.meta.url);",
    "export const load = async (x ) => import('./d.js');",
    text[4],
  ]);
  expect(lines[3]?.indexOf('import(')).toBe(text[3]?.indexOf('import('));
});

test('a folder of modules runs afterwards, and has none of the old', async () => {
  await using dir = await temporaryDirectory('plain');
  await writeFile(dir.join('package.json'), '{"type":"module"}');
  await mkdir(dir.join('cli/inner'), { recursive: true });
  await writeFile(
    dir.join('cli/main.ts'),
    "import { x } from './inner/x.ts';\nconst y: number = x;\nconsole.log(y);\n",
  );
  await writeFile(dir.join('cli/inner/x.ts'), 'export const x: number = 7;\n');
  await makePlain(dir.join('cli'));
  expect((await readdir(dir.join('cli'), { recursive: true })).toSorted()).toEqual([
    'inner',
    'inner/x.js',
    'main.js',
  ]);
  expect(execFileSync(process.execPath, [dir.join('cli/main.js')], { encoding: 'utf8' })).toBe('7\n');
  expect(await readFile(dir.join('cli/inner/x.js'), 'utf8')).not.toContain('number');
});

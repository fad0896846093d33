import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import {
  type AllowList,
  breaches,
  danglingImports,
  folderCycle,
  importsOf,
  type SourceFile,
  undeclaredNames,
} from './import-rules.ts';

const ROOT = join(import.meta.dirname, '..');

const OUTSIDE = ['node:', 'packages'];
const SWARM = ['swarm/announce', 'swarm/core', 'swarm/hashes', 'swarm/session', 'swarm/store', 'swarm/wire'];
const MEMBER = 'swarm/member';
const BASICS = ['registry/digest.ts', 'registry/as-error.ts', 'registry/retry.ts'];

/** Dependencies point down. A new folder takes its place here, with what it needs and no more. */
const ALLOWED: AllowList = {
  'swarm/core': [],
  'swarm/hashes': [...OUTSIDE, ...BASICS, 'swarm/core'],
  'swarm/wire': [...OUTSIDE, ...BASICS, 'swarm/core', 'swarm/hashes'],
  'swarm/store': [...OUTSIDE, ...BASICS, 'swarm/core'],
  'swarm/announce': [...OUTSIDE, ...BASICS, 'swarm/core'],
  'swarm/session': [...OUTSIDE, ...BASICS, ...SWARM],
  [MEMBER]: [...OUTSIDE, ...SWARM, 'registry', 'service'],
  registry: OUTSIDE,
  service: [...OUTSIDE, 'registry'],
  kubernetes: [...OUTSIDE, 'swarm/core', 'registry', 'service'],
  tracker: [...OUTSIDE, ...SWARM, 'registry', 'service', 'kubernetes'],
  origin: [...OUTSIDE, ...SWARM, MEMBER, 'registry', 'service', 'kubernetes'],
  agent: [...OUTSIDE, ...SWARM, MEMBER, 'registry', 'service'],
  cli: [...OUTSIDE, ...SWARM, 'registry', 'service', 'agent', 'origin', 'tracker', 'package.json'],
};

/** What would make a decision depend on more than what is passed in. */
const IMPURE =
  /\b(?:Math\.random|Date\.now|new Date|performance|process|setTimeout|setInterval|fetch|crypto|Buffer)\b/u;

function sourcesOf(folder: string): SourceFile[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: path.slice(ROOT.length + 1), text: readFileSync(path, 'utf8') }));
}

const folders = ['agent', 'cli', 'kubernetes', 'origin', 'registry', 'service', 'swarm', 'tracker'];
const sources = folders.flatMap(sourcesOf);

describe('the project', () => {
  it('has its sources in folders that all have their list', () => {
    for (const folder of folders)
      expect(sources.some(({ path }) => path.startsWith(`${folder}/`))).toBe(true);
    expect(Object.keys(manifest.imports)).toEqual(folders.map((folder) => `#${folder}/*`));
  });

  it('imports downwards only, other folders by their #name, and nothing from tests or the demo', () => {
    expect(breaches(sources, ALLOWED)).toEqual([]);
  });

  it('has no folders that import each other in a circle', () => {
    expect(folderCycle(sources)).toEqual([]);
  });

  it('imports only names that package.json declares, and files that exist', () => {
    expect(undeclaredNames(sources, Object.keys(manifest.imports))).toEqual([]);
    expect(danglingImports(sources)).toEqual([]);
  });

  it('decides in swarm/core by nothing but what is passed in', () => {
    const core = sources.filter(({ path }) => path.startsWith('swarm/core/'));
    const impure = core.filter(({ text }) => IMPURE.test(text.replaceAll(/\/\*.*?\*\/|\/\/.*$/gmsu, '')));
    expect(core.length).toBeGreaterThan(8);
    expect(impure.map(({ path }) => path)).toEqual([]);
  });
});

function file(path: string, ...imported: string[]): SourceFile {
  return { path, text: imported.map((name) => `import { x } from '${name}';`).join('\n') };
}

describe('the check of imports', () => {
  it('sees every form of import, over several lines too, and none in comments or strings', () => {
    const text = `
      import a from './a.ts';
      import type { B } from "./b.ts";
      import {
        c,
      } from './c.ts';
      export { d } from './d.ts';
      export * from './e.ts';
      import './f.ts';
      const g = await import('./g.ts');
      // import no from './no.ts';
      /* import no from './no.ts'; */
      const text = "they import things from './no.ts'";
      export const h = 'h', i = { from: './no.ts' };
    `;
    const names = importsOf(text).toSorted((a, b) => a.localeCompare(b));
    expect(names).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `./${name}.ts`));
  });

  it.each([
    ['swarm/core/picker.ts', 'node:fs'],
    ['swarm/core/picker.ts', 'undici'],
    ['swarm/core/picker.ts', '#registry/digest.ts'],
    ['swarm/core/picker.ts', '#swarm/wire/wire.ts'],
    ['swarm/wire/wire.ts', '#registry/upstream.ts'],
    ['swarm/store/blobs.ts', '#swarm/session/torrent.ts'],
    ['swarm/session/torrent.ts', '#service/logger.ts'],
    ['swarm/session/torrent.ts', '../store/blobs.ts'],
    ['service/logger.ts', '#swarm/core/picker.ts'],
    ['registry/hosts.ts', '#service/logger.ts'],
    ['tracker/tracker.ts', '#origin/origin.ts'],
    ['origin/origin.ts', '#agent/agent.ts'],
    ['agent/agent.ts', '#tracker/tracker.ts'],
    ['agent/door/answer.ts', '../../registry/range.ts'],
    ['cli/shoal.ts', '../test/support/bytes.ts'],
    ['cli/shoal.ts', '../demo/demo.ts'],
    ['console/page.ts', './other.ts'],
  ])('does not let %s import %s', (path, imported) => {
    expect(breaches([file(path, imported)], ALLOWED)).toMatchObject([{ file: path, imported }]);
  });

  it.each([
    ['swarm/core/picker.ts', './bitfield.ts'],
    ['swarm/wire/wire.ts', '#registry/digest.ts'],
    ['swarm/wire/wire.ts', 'node:net'],
    ['swarm/session/torrent.ts', '#swarm/store/blobs.ts'],
    ['agent/door/answer.ts', '../pulls.ts'],
    ['agent/door/answer.ts', '#agent/pulls.ts'],
    ['cli/shoal.ts', '#agent/agent.ts'],
  ])('lets %s import %s', (path, imported) => {
    expect(breaches([file(path, imported)], ALLOWED)).toEqual([]);
  });

  it('finds circles of folders, however long, and none where there is none', () => {
    const line = [file('a/1.ts', '#b/1.ts'), file('b/1.ts', '#c/1.ts', './2.ts'), file('a/2.ts', '#c/1.ts')];
    expect(folderCycle([...line, file('c/1.ts', 'node:fs')])).toEqual([]);
    expect(folderCycle([...line, file('c/1.ts', '#a/2.ts')])).toEqual(['a', 'b', 'c', 'a']);
  });

  it('finds names that nobody declared and imports that lead nowhere', () => {
    const files = [file('a/1.ts', '#a/2.ts', '#ab/2.ts', './3.ts'), file('a/2.ts')];
    expect(undeclaredNames(files, ['#a/*'])).toEqual(['#ab/2.ts']);
    expect(danglingImports(files).map(({ imported }) => imported)).toEqual(['#ab/2.ts', './3.ts']);
  });
});

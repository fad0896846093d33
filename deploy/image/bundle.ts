import { cp, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, VERSION } from 'rolldown';

/**
 * Joins the programs and what they use of their packages into a few modules of JavaScript, names kept. Each
 * module costs a process memory for as long as it runs, types cost it the part of Node that strips them, and most of what
 * packages hold nobody uses here: an idle agent takes 85 MiB, in place of 106 without joining and 136 with types.
 * Licences of the packages, and notices in their modules, go beside it, for the packages do not. Equal sources and
 * packages are joined to the same bytes, wherever they lie.
 * @param project has the sources, the lock file, and the packages installed.
 * @param directory is made, or emptied; `cli/shoal.js` in it is the `shoal` command.
 * @throws Error where a module, or a name that it should have, is not found, where one would take twice its length in
 * memory, or the bundler is not the locked one.
 */
export async function bundlePrograms(project: string, directory: string): Promise<void> {
  await expectLocked(project);
  const { output } = await build({
    input: { 'cli/shoal': 'cli/shoal.ts' },
    // Links in the path would be in the output.
    cwd: await realpath(project),
    platform: 'node',
    // It would be looked for in all directories above.
    tsconfig: false,
    onLog: (level, { message }) => {
      if (level === 'warn') throw new Error(message);
    },
    output: {
      dir: directory,
      cleanDir: true,
      format: 'esm',
      chunkFileNames: 'cli/[name]-[hash].js',
      charset: 'ascii',
      comments: { legal: true, annotation: false, jsdoc: false },
    },
  });
  for (const file of ['package.json', 'LICENSE']) await cp(join(project, file), join(directory, file));
  const chunks = output.filter((file) => file.type === 'chunk');
  for (const { fileName, code } of chunks) expectLatin1(fileName, code);
  const joined = chunks.flatMap(({ moduleIds }) => moduleIds);
  for (const [path, modules] of Map.groupBy(joined, packageOf)) {
    if (path === undefined) continue;
    const licences = join(directory, 'licenses', placeOf(path));
    await copyLicences(path, licences);
    await copyNotices(modules, join(licences, 'NOTICES-IN-MODULES'));
  }
}

/**
 * V8 keeps a module with one character beyond Latin-1 in memory at twice its length; notices and tagged templates are
 * joined as they are.
 */
function expectLatin1(name: string, code: string): void {
  const beyond = /[^\0-\u00ff]/u.exec(code);
  if (beyond)
    throw new Error(`${name} has ${JSON.stringify(beyond[0])}, which takes it twice its length in memory`);
}

/** Another version would join the same to other bytes. */
async function expectLocked(project: string): Promise<void> {
  const lock: { packages: Record<string, { version: string } | undefined> } = JSON.parse(
    await readFile(join(project, 'package-lock.json'), 'utf8'),
  );
  const locked = lock.packages['node_modules/rolldown']?.version;
  if (locked !== VERSION)
    throw new Error(`rolldown ${VERSION} is installed, package-lock.json has ${locked}: run npm ci`);
}

/** The directory of the package that a module belongs to; none for the project's own. */
function packageOf(module: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/u.exec(module)?.[0];
}

/** Below the first `node_modules`: two versions of a package have places of their own. */
function placeOf(path: string): string {
  return path.slice(path.indexOf('/node_modules/') + '/node_modules/'.length);
}

/**
 * Of the package and of what it has taken in from others; packages of its own are packages too.
 * @throws Error where there is none
 */
async function copyLicences(path: string, directory: string): Promise<void> {
  const names = await readdir(path, { recursive: true });
  const licences = names.filter((name) => LICENCE.test(name) && !name.includes('node_modules'));
  if (licences.length === 0 && !NAMED_IN_MANUAL.has(basename(path)))
    throw new Error(`${path} has no licence file: see what it may be used for`);
  for (const name of licences) await cp(join(path, name), join(directory, name), { recursive: true });
}

/** What modules say of who has the rights: most of it is in the packages' licences too, some of it is nowhere else. */
async function copyNotices(modules: readonly string[], file: string): Promise<void> {
  const notices = new Set<string>();
  for (const module of modules.toSorted()) {
    const code = await readFile(module, 'utf8');
    for (const [comment] of code.matchAll(COMMENT)) if (RIGHTS.test(comment)) notices.add(comment.trim());
  }
  if (notices.size > 0) await writeFile(file, `${[...notices].join('\n\n')}\n`);
}

/** A block, or lines one after the other. */
const COMMENT = /\/\*[\s\S]*?\*\/|^[\t ]*\/\/.*(?:\n[\t ]*\/\/.*)*/gmu;

const RIGHTS = /copyright|\(c\) *\d{4}|©/iu;

const LICENCE = /(?:^|\/)(?:(?:un)?licen[cs]es?|notice|copying)(?:[.-][^/]*)?$/iu;

/** Packages that name their licence, MIT, in their manual and package.json alone. */
const NAMED_IN_MANUAL: ReadonlySet<string> = new Set(['abstract-logging']);

if (import.meta.main) await bundlePrograms(process.cwd(), process.argv[2]!);

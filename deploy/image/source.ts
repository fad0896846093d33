import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { command } from './command.ts';

/** What the image is made of, and which state of it. */
export interface Source {
  readonly project: string;
  /** Folders of the programs. */
  readonly folders: readonly string[];
  readonly version: string;
  readonly description: string;
  readonly licenses: string;
  /** The commit, with `-dirty` where files differ from it; `unknown` without git. */
  readonly revision: string;
  /** The commit's time, or that of SOURCE_DATE_EPOCH (reproducible-builds.org); RFC 3339. */
  readonly created: string;
}

export async function readSource(
  project: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Source> {
  const text = await readFile(join(project, 'package.json'), 'utf8');
  const {
    version,
    description,
    license,
    imports,
  }: {
    version: string;
    description: string;
    license: string;
    imports: Record<string, string>;
  } = JSON.parse(text);
  const folders = programFolders(imports);
  const git = await readCommit(project, [
    'LICENSE',
    'package.json',
    'package-lock.json',
    'deploy/image',
    ...folders,
  ]);
  const seconds = Number(env['SOURCE_DATE_EPOCH'] ?? git.seconds);
  const created = new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
  return { project, folders, version, description, licenses: license, revision: git.revision, created };
}

/** The programs' folders, which package.json's `imports` name as `#folder/*`. */
function programFolders(imports: Readonly<Record<string, string>>): string[] {
  return Object.keys(imports).map((name) => name.slice(1, -2));
}

async function readCommit(
  project: string,
  paths: readonly string[],
): Promise<{ revision: string; seconds: number }> {
  try {
    const log = await command('git', ['log', '-1', '--format=%H %ct'], { cwd: project });
    const [revision = '', seconds = '0'] = log.trim().split(' ');
    const changes = await command('git', ['status', '--porcelain', '--', ...paths], { cwd: project });
    return { revision: changes === '' ? revision : `${revision}-dirty`, seconds: Number(seconds) };
  } catch {
    return { revision: 'unknown', seconds: 0 }; // an archive of the sources, without their history
  }
}

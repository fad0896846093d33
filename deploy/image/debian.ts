import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { sha256OfFile } from './checksum.ts';
import { command } from './command.ts';
import type { Platform } from './platform.ts';

/** What node needs beside itself: `ldd` of it names files of these. */
export const LIBRARIES = ['libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6'] as const;

const ARCHIVES = [
  'http://deb.debian.org/debian RELEASE main',
  'http://deb.debian.org/debian RELEASE-updates main',
  'http://deb.debian.org/debian-security RELEASE-security main',
];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** The .deb. */
  readonly file: string;
  readonly sha256: string;
}

/**
 * apt with lists and cache of its own, so that it reads another architecture and changes nothing on the machine.
 * Debian's archive keys are the machine's.
 */
export class Apt {
  readonly #directory: string;
  readonly #options: readonly string[];

  private constructor(directory: string, architecture: string) {
    this.#directory = directory;
    const settings = {
      'Dir::State': directory,
      'Dir::State::status': join(directory, 'status'),
      'Dir::Cache': join(directory, 'cache'),
      'Dir::Etc::sourcelist': join(directory, 'sources.list'),
      'Dir::Etc::sourceparts': '-',
      'APT::Architecture': architecture,
      'APT::Architectures': architecture,
      'APT::Sandbox::User': '',
      'Acquire::Languages': 'none',
    };
    this.#options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  }

  static async open(directory: string, release: string, { architecture }: Platform): Promise<Apt> {
    await mkdir(join(directory, 'lists', 'partial'), { recursive: true });
    await mkdir(join(directory, 'cache', 'archives', 'partial'), { recursive: true });
    await writeFile(join(directory, 'status'), '');
    const sources = ARCHIVES.map(
      (line) => `deb [signed-by=${KEYRING}] ${line.replace('RELEASE', release)}\n`,
    );
    await writeFile(join(directory, 'sources.list'), sources.join(''));
    const apt = new Apt(directory, architecture);
    await command('apt-get', [...apt.#options, 'update', '-q']);
    return apt;
  }

  /** @param version none: the newest. @throws CommandError where the archive has no such version */
  async download(name: string, version?: string): Promise<DebianPackage> {
    const wanted = version === undefined ? name : `${name}=${version}`;
    const into = join(this.#directory, 'debs', name);
    await mkdir(into, { recursive: true });
    await command('apt-get', [...this.#options, 'download', '-q', wanted], { cwd: into });
    const found = (await readdir(into)).find((file) => file.endsWith('.deb'));
    const file = join(this.#directory, `${name}.deb`);
    await rename(join(into, found ?? ''), file);
    const got = await command('dpkg-deb', ['--field', file, 'Version']);
    return { name, version: got.trim(), file, sha256: await sha256OfFile(file) };
  }
}

/** The package's files below a directory, and its control file where scanners look for it in images without dpkg. */
export async function unpackDeb({ name, file }: DebianPackage, root: string): Promise<void> {
  await command('dpkg-deb', ['--extract', file, root]);
  const status = join(root, 'var', 'lib', 'dpkg', 'status.d');
  await mkdir(status, { recursive: true });
  await writeFile(join(status, name), await command('dpkg-deb', ['--field', file]));
}

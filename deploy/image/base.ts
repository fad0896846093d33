import { createHash } from 'node:crypto';
import { access, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { TarEntry } from '../../demo/tar.ts';
import type { BaseLock } from './base-lock.ts';
import { expectSame } from './checksum.ts';
import { Apt, unpackDeb } from './debian.ts';
import { packNode, unpackNode } from './node-runtime.ts';
import type { Platform } from './platform.ts';
import { entriesBelow, textEntry } from './tree.ts';

/** The two lower layers of a platform: the libraries, and Node. */
export interface Base {
  readonly libraries: readonly TarEntry[];
  readonly node: readonly TarEntry[];
}

/** The user of every part: it has no name on the nodes and no right there. */
export const USER_ID = 65_532;

/**
 * The pinned libraries and Node of a platform, downloaded unless `cache` has them.
 * @throws ChecksumError, CommandError
 */
export async function prepareBase(lock: BaseLock, platform: Platform, cache: string): Promise<Base> {
  const { architecture } = platform;
  const libraries = await filled(cache, { libraries: lock.debian, architecture }, (directory) =>
    unpackLibraries(lock, platform, directory),
  );
  const node = await filled(cache, { node: lock.node, architecture }, async (directory) => {
    const { file, integrity } = await packNode(lock.node.version, platform, directory);
    expectSame(`Node ${lock.node.version} for ${architecture}`, integrity, lock.node[architecture]);
    await unpackNode(file, directory);
  });
  return {
    libraries: [...accountEntries(lock.debian.release), ...(await entriesBelow(libraries, '', isNeeded))],
    node: await entriesBelow(node, ''),
  };
}

/** A directory named after what is pinned. One that is there is whole: it gets its name last. */
async function filled(
  cache: string,
  pinned: object,
  fill: (directory: string) => Promise<void>,
): Promise<string> {
  const key = createHash('sha256').update(JSON.stringify(pinned)).digest('hex').slice(0, 16);
  const directory = join(cache, `base-${key}`);
  const isThere = await access(directory).then(
    () => true,
    () => false,
  );
  if (isThere) return directory;
  const temporary = `${directory}.part`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  await fill(temporary);
  await rename(temporary, directory);
  return directory;
}

async function unpackLibraries(lock: BaseLock, platform: Platform, directory: string): Promise<void> {
  const scratch = `${directory}-apt`;
  const apt = await Apt.open(scratch, lock.debian.release, platform);
  for (const [name, pinned] of Object.entries(lock.debian.packages)) {
    const deb = await apt.download(name, pinned.version);
    expectSame(`${name} for ${platform.architecture}`, deb.sha256, pinned[platform.architecture]);
    await unpackDeb(deb, directory);
  }
  await rm(scratch, { recursive: true, force: true });
}

/** Shared libraries, licences and the packages' control files; no conversion tables, debugger scripts or manuals. */
export function isNeeded(path: string): boolean {
  if (/^(?:usr\/)?lib(?:64)?\//.test(path))
    return /\.so(?:\.[0-9.]+)?$/.test(path) && !path.includes('/gconv/');
  return /^usr\/share\/doc\/[^/]+\/copyright$|^var\/lib\/dpkg\/status\.d\//.test(path);
}

/** Users, the order of name lookups (without it glibc passes over /etc/hosts), and whose libraries these are. */
function accountEntries(release: string): TarEntry[] {
  const shoal = `shoal:x:${USER_ID}:${USER_ID}:Shoal:/:/sbin/nologin\n`;
  return [
    { type: 'directory', name: 'etc' },
    textEntry('etc/group', `root:x:0:\nshoal:x:${USER_ID}:\n`),
    textEntry('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
    textEntry(
      'etc/os-release',
      `ID=debian\nVERSION_CODENAME=${release}\nPRETTY_NAME="Shoal, on Debian's libraries"\n`,
    ),
    textEntry('etc/passwd', `root:x:0:0:root:/:/sbin/nologin\n${shoal}`),
  ];
}

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type BaseLock, readBaseLock, writeBaseLock } from './base-lock.ts';
import { Apt, LIBRARIES } from './debian.ts';
import { packNode } from './node-runtime.ts';
import { type Platform, PLATFORMS } from './platform.ts';

type Pins = Record<Platform['architecture'], string>;

/** Pins the newest libraries of the Debian release in use, and the Node of package-lock.json, in base.json. */
export async function updateBaseLock(project: string, cache: string): Promise<void> {
  const { debian } = await readBaseLock();
  await mkdir(cache, { recursive: true });
  const scratch = await mkdtemp(join(cache, 'update-'));
  try {
    const packages = await pinLibraries(debian.release, scratch);
    const node = await pinNode(await lockedNode(project), scratch);
    await writeBaseLock({ debian: { release: debian.release, packages }, node });
  } finally {
    await rm(scratch, { recursive: true });
  }
}

async function pinLibraries(release: string, scratch: string): Promise<BaseLock['debian']['packages']> {
  const packages: Record<string, { version: string } & Pins> = {};
  for (const platform of PLATFORMS) {
    const apt = await Apt.open(join(scratch, platform.architecture), release, platform);
    for (const name of LIBRARIES) {
      const { version, sha256 } = await apt.download(name);
      const known = packages[name] ?? { version, amd64: '', arm64: '' };
      if (known.version !== version)
        throw new Error(`${name} is ${known.version} and ${version}: Debian has not built it for all yet`);
      packages[name] = { ...known, [platform.architecture]: sha256 };
    }
  }
  return packages;
}

async function pinNode(version: string, scratch: string): Promise<BaseLock['node']> {
  const pins: Pins = { amd64: '', arm64: '' };
  for (const platform of PLATFORMS)
    pins[platform.architecture] = (await packNode(version, platform, scratch)).integrity;
  return { version, ...pins };
}

/** The Node that the tests run on. */
export async function lockedNode(project: string): Promise<string> {
  const lock: { packages: Record<string, { version?: string }> } = JSON.parse(
    await readFile(join(project, 'package-lock.json'), 'utf8'),
  );
  const version = lock.packages['node_modules/node']?.version;
  if (version === undefined) throw new Error('package-lock.json has no node_modules/node');
  return version;
}

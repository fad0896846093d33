import { mkdir } from 'node:fs/promises';
import type { Agent } from './part.ts';
import type { Registry } from './registry.ts';
import { shoal } from './shoal.ts';

/** Makes the agent a registry's mirror in containerd's hosts directory, beside what is there. */
export async function mirrorContainerd(
  hostsDir: string,
  registry: Pick<Registry, 'name' | 'url'>,
  agent: Agent,
): Promise<void> {
  await mkdir(hostsDir, { recursive: true });
  await shoal([
    'config',
    'containerd',
    '--hosts-dir',
    hostsDir,
    '--registry',
    registry.name,
    '--agent',
    agent.door,
  ]);
}

/** Makes the agent a registry's mirror in a registries.conf of its own; gives the file. */
export async function mirrorPodman(
  file: string,
  registry: Pick<Registry, 'name'>,
  agent: Agent,
): Promise<string> {
  await shoal(['config', 'podman', '--file', file, '--registry', registry.name, '--agent', agent.door]);
  return file;
}

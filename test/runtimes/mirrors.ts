import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeHostsDir } from './containerd.ts';
import type { Agent } from './part.ts';
import type { Registry } from './registry.ts';
import { shoal } from './shoal.ts';

type Mirrored = Pick<Registry, 'name' | 'url' | 'caFile'>;

/** Without this, the command tells what is missing and writes nothing. */
const LOOKS_FOR_MIRRORS = `version = 2
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
`;

/**
 * Makes the agent a registry's mirror for a containerd that looks for its files below `root`, beside what an operator
 * has written there; gives the hosts directory.
 */
export async function mirrorContainerd(root: string, registry: Mirrored, agent: Agent): Promise<string> {
  const hostsDir = await writeHostsDir(join(root, 'etc/containerd/certs.d'), registry);
  await writeFile(join(root, 'etc/containerd/config.toml'), LOOKS_FOR_MIRRORS);
  await shoal(['config', 'containerd', '--root', root, '--registry', registry.name, '--agent', agent.door]);
  return hostsDir;
}

/** Makes the agent a registry's mirror for a podman that looks for its files below `root`; gives the file. */
export async function mirrorPodman(root: string, registry: Mirrored, agent: Agent): Promise<string> {
  // A root that is not there is refused: the command writes to a node that exists.
  await mkdir(root, { recursive: true });
  await shoal(['config', 'podman', '--root', root, '--registry', registry.name, '--agent', agent.door]);
  return join(root, 'etc/containers/registries.conf.d/shoal.conf');
}

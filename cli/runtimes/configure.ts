import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { defaultCerts, readContainerdMain } from './containerd-main.ts';
import type { ContainerdMain, MainPlace } from './containerd-main.ts';
import { ALL_REGISTRIES, certificatesIn, directoryOf, registriesBeside } from './containerd-certs.ts';
import { hostsEdit } from './containerd-hosts.ts';
import { DROP_IN, readRegistries, registriesEdit } from './containers-registries.ts';
import { daemonEdit } from './docker-daemon.ts';
import type { Edit } from './edit.ts';
import { applyEdit, backupPath, removeEdit } from './managed-file.ts';
import type { Change } from './managed-file.ts';

export const RUNTIMES = ['containerd', 'docker', 'podman', 'crio'] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** podman and CRI-O have no entry for all registries. */
export const COMMON_REGISTRIES = ['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io'];

export interface ConfigureOptions extends MainPlace {
  /** Where containerd is known to look for hosts.toml files, whatever its configuration says. */
  readonly certs?: string;
  /** Registry hosts; for containerd also `_default`. None: the runtime's usual ones; to remove, all that were written. */
  readonly registries: readonly string[] | undefined;
  /** The agent's door. */
  readonly agent: URL;
  /** Prefix of all paths, for the file system of a node mounted elsewhere; `/` is this machine's. */
  readonly root: string;
  readonly remove: boolean;
}

export interface Configured {
  readonly changes: readonly { readonly path: string; readonly change: Change }[];
  /** What is left to do by hand. */
  readonly advice: readonly string[];
  /** Whether the mirror stands where the runtime looks for it. */
  readonly isInPlace: boolean;
}

/** Writes a runtime's mirror configuration, or takes it back. @throws RuntimeConfigError */
export async function configure(runtime: Runtime, options: ConfigureOptions): Promise<Configured> {
  const { edits, advice } = await plan(runtime, options);
  const changes: { path: string; change: Change }[] = [];
  for (const [path, edit] of edits) {
    const act = options.remove ? removeEdit : applyEdit;
    changes.push({ path, change: await act(join(options.root, path), edit) });
  }
  const changed = changes.some(({ change }) => change !== 'unchanged' && change !== 'absent');
  return {
    changes,
    advice: [...(options.remove ? [] : advice.always), ...(changed ? advice.changed : [])],
    isInPlace: !options.remove && edits.length > 0,
  };
}

interface Plan {
  readonly edits: readonly (readonly [path: string, edit: Edit])[];
  readonly advice: { readonly always: readonly string[]; readonly changed: readonly string[] };
}

async function plan(runtime: Runtime, options: ConfigureOptions): Promise<Plan> {
  const { registries, agent, root } = options;
  if (runtime === 'containerd') return planContainerd(options);
  if (runtime === 'docker') {
    const path = '/etc/docker/daemon.json';
    const changed = [
      'docker asks mirrors for docker.io only. Let it read the change: systemctl reload docker',
    ];
    const always = [PRIVATE_IMAGES.docker];
    return { edits: [[path, daemonEdit(path, agent)]], advice: { always, changed } };
  }
  const edit = registriesEdit(registries ?? COMMON_REGISTRIES, agent, await readRegistries(root));
  const changed = runtime === 'crio' ? ['let CRI-O read the change: systemctl reload crio'] : [];
  const always = [runtime === 'crio' ? PRIVATE_IMAGES.crio : privateImagesOfPodman(agent)];
  return { edits: [[DROP_IN, edit]], advice: { always, changed } };
}

/** How runtimes that take challenges from `/v2/` alone come to private images. */
const PRIVATE_IMAGES = {
  docker:
    'private images of Docker Hub come through the agent if its door.logins names docker.io: docker gives mirrors its own login',
  crio: 'CRI-O gives mirrors no pull secret: it pulls private images from the registry itself',
} as const;

function privateImagesOfPodman({ host }: URL): string {
  return `private images come through the agent for who is logged in to it (podman login --tls-verify=false ${host}/<registry>), if its door.logins names the registry`;
}

/** Where containerd looks nowhere, nothing is written; what was written before that is taken back all the same. */
async function planContainerd(options: ConfigureOptions): Promise<Plan> {
  const { registries, agent, root, remove, certs } = options;
  const found: ContainerdMain = certs === undefined ? await readContainerdMain(root, options) : { certs };
  const advice = { always: remove || found.advice === undefined ? [] : [found.advice], changed: [] };
  if (found.certs === undefined && !remove) return { edits: [], advice };
  const directory = found.certs ?? defaultCerts(options);
  const all = remove ? await writtenHosts(join(root, directory)) : [ALL_REGISTRIES];
  const wanted = registries ?? all;
  const edits: [string, Edit][] = [];
  for (const registry of wanted) {
    const own = `${directory}/${await directoryOf(join(root, directory), registry)}`;
    const path = `${own}/hosts.toml`;
    edits.push([path, hostsEdit(path, registry, agent, await certificatesIn(root, own))]);
  }
  if (!remove && wanted.includes(ALL_REGISTRIES)) {
    const beside = await registriesBeside(join(root, directory), agent);
    advice.always.push(
      ...adviseBeside(
        beside.filter((host) => !wanted.includes(host)),
        wanted,
        directory,
      ),
    );
  }
  return { edits, advice };
}

function adviseBeside(beside: readonly string[], wanted: readonly string[], certs: string): string[] {
  if (beside.length === 0) return [];
  const hosts = beside.join(', ');
  return [
    `pulls from ${hosts} bypass Shoal: containerd reads their own directories in ${certs} in place of ${ALL_REGISTRIES}. If they are to come through it, name them too: --registry ${[...wanted, ...beside].join(' ')}`,
  ];
}

/** The registries whose hosts.toml has a backup of ours beside it. */
async function writtenHosts(certs: string): Promise<string[]> {
  const names = await readdir(certs).catch(() => []);
  const ours = await Promise.all(
    names.map((name) =>
      access(backupPath(join(certs, name, 'hosts.toml'))).then(
        () => [name],
        () => [],
      ),
    ),
  );
  return ours.flat();
}

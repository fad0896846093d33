import type { Runtime } from './configure.ts';

/** A kind of Kubernetes node: its runtime, and where that has its files. */
export interface NodeKind {
  readonly runtime: Runtime;
  /** containerd's main configuration file. */
  readonly main?: string;
  /** How an operator gets something into that file: the sentence in front of what is to be added. */
  readonly remedy?: string;
  /** What a container must be given of the node to write there. */
  readonly directories: readonly string[];
}

const MAIN = '/etc/containerd/config.toml';

/** Rancher's distributions write containerd's file at each start, from a template where there is one. */
function rancher(name: 'k3s' | 'rke2'): NodeKind {
  const directory = `/var/lib/rancher/${name}/agent/etc/containerd`;
  const remedy = `Make ${directory}/config-v3.toml.tmpl (config.toml.tmpl before containerd 2) with the line {{ template "base" . }} and this, and restart ${name}`;
  return { runtime: 'containerd', main: `${directory}/config.toml`, remedy, directories: [directory] };
}

export const NODE_KINDS: Readonly<Record<string, NodeKind>> = {
  containerd: { runtime: 'containerd', main: MAIN, directories: ['/etc/containerd'] },
  eks: {
    runtime: 'containerd',
    main: MAIN,
    remedy: 'Add to spec.containerd.config of the NodeConfig in the user data, for new nodes',
    directories: ['/etc/containerd'],
  },
  gke: {
    runtime: 'containerd',
    main: MAIN,
    remedy: "Add by the node pool's containerd configuration, for new nodes",
    directories: ['/etc/containerd'],
  },
  aks: { runtime: 'containerd', main: MAIN, directories: ['/etc/containerd'] },
  k3s: rancher('k3s'),
  rke2: rancher('rke2'),
  talos: {
    runtime: 'containerd',
    main: '/etc/cri/containerd.toml',
    remedy:
      'Add to the machine configuration, under machine.files, as /etc/cri/conf.d/20-customization.part with op: create',
    directories: ['/etc/cri'],
  },
  crio: { runtime: 'crio', directories: ['/etc/containers'] },
  openshift: { runtime: 'crio', directories: ['/etc/containers'] },
};

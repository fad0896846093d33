import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { MACHINE, nodeAddress, POD_NET, podNet } from './network.ts';

/** The sandbox of every pod. */
export const PAUSE_IMAGE = 'node.internal/pause:1';
/** Where containerd looks for mirrors. */
export const CERTS = '/etc/containerd/certs.d';

export interface NodeFilesOptions {
  readonly index: number;
  readonly name: string;
  /** Of the node, as `node-init.sh` has it. */
  readonly directory: string;
  /** The folder of the built binaries, CNI plugins among them. */
  readonly bin: string;
  readonly cgroup: string;
}

/** What an installer leaves on a node, before its first start. */
export async function writeNodeFiles(options: NodeFilesOptions): Promise<void> {
  const { directory } = options;
  const files: Record<string, string> = {
    'etc/upper/containerd/config.toml': containerdConfig(options.bin),
    'etc/upper/cni/net.d/10-nodes.conflist': JSON.stringify(networkConfig(options.index)),
    // JSON is YAML 1.2.
    'kubelet.yaml': JSON.stringify(kubeletConfig(options)),
    'proxy.yaml': JSON.stringify(proxyConfig(options)),
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  await mkdir(join(directory, 'etc/upper/containerd/certs.d'), { recursive: true });
}

/** Without `restrict_oom_score_adj` a machine that gives no CAP_SYS_RESOURCE runs no sandbox. */
function containerdConfig(bin: string): string {
  return `version = 3
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.devmapper"]

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.images".registry]
  config_path = "${CERTS}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["${bin}"]
  conf_dir = "/etc/cni/net.d"
`;
}

function networkConfig(index: number): object {
  const ipam = { type: 'host-local', ranges: [[{ subnet: podNet(index) }]] };
  const bridge = { type: 'bridge', bridge: 'pods', isDefaultGateway: true, hairpinMode: true, ipam };
  const portmap = { type: 'portmap', capabilities: { portMappings: true } };
  return { cniVersion: '1.0.0', name: 'pods', plugins: [bridge, portmap] };
}

function kubeletConfig({ index, name, cgroup }: NodeFilesOptions): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: nodeAddress(index),
    // Nobody else is on this network, and the API server proves nothing to it.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}/${name}`,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: ['pods'],
    evictionHard: { 'nodefs.available': '1%', 'imagefs.available': '1%', 'memory.available': '50Mi' },
    imageGCHighThresholdPercent: 100,
    clusterDNS: [MACHINE.controlPlane],
    clusterDomain: 'cluster.local',
    resolvConf: '',
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    nodeStatusUpdateFrequency: '4s',
  };
}

/** No limits of connections: they would be the machine's. */
function proxyConfig({ name, directory }: NodeFilesOptions): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clientConnection: { kubeconfig: join(directory, 'proxy.kubeconfig') },
    hostnameOverride: name,
    mode: 'iptables',
    clusterCIDR: POD_NET,
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}

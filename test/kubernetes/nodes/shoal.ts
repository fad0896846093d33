import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { parseMetrics, type Samples } from '../../runtimes/metrics.ts';
import { describeTree } from '../../runtimes/containerd.ts';
import { eventually } from '../../runtimes/program.ts';
import { object, part } from '../api/cluster.ts';
import { MACHINE } from './network.ts';
import type { Node } from './node.ts';
import { askAdmin } from '#service/admin-client.ts';
import type { Rig } from './rig.ts';
import { authoritiesOf } from './upstreams.ts';

export const CHART = join(import.meta.dirname, '../../../charts/shoal');
const NAMESPACE = '/api/v1/namespaces/shoal';
const VOLUME = '/var/lib/volumes/1';
const AUTHORITIES = 'registry-authorities';
const MOUNT = '/etc/registries';

/** A default StorageClass, and a volume on each node: what a cluster has before Shoal comes. */
export async function offerVolumes({ ask, nodes }: Rig): Promise<void> {
  const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
  const storageClass = {
    metadata: { annotations },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  };
  await ask(
    'POST',
    '/apis/storage.k8s.io/v1/storageclasses',
    object('storage.k8s.io/v1', 'StorageClass', 'local', storageClass),
  );
  for (const node of nodes) {
    await node.exec(['mkdir', '-p', VOLUME]);
    const matchExpressions = [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node.name] }];
    const spec = {
      capacity: { storage: '60Gi' },
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'local',
      local: { path: VOLUME },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions }] } },
    };
    await ask(
      'POST',
      '/api/v1/persistentvolumes',
      object('v1', 'PersistentVolume', `volume-${node.name}`, { spec }),
    );
  }
}

/** The registries' authorities as a ConfigMap, and a file of values by which agents and origins trust them. */
export async function trustRegistries({ ask, directory, upstreams }: Rig): Promise<string> {
  const data = { 'authorities.pem': authoritiesOf(upstreams) };
  await ask('POST', `${NAMESPACE}/configmaps`, object('v1', 'ConfigMap', AUTHORITIES, { data }));
  const ca = `${MOUNT}/authorities.pem`;
  const names = [MACHINE.publicRegistry, MACHINE.passwordRegistry, MACHINE.tokenRegistry];
  const trusting = {
    config: { upstreams: { hosts: Object.fromEntries(names.map((name) => [name, { ca }])) } },
    extraVolumes: [{ name: 'registries', configMap: { name: AUTHORITIES } }],
    extraVolumeMounts: [{ name: 'registries', mountPath: MOUNT, readOnly: true }],
  };
  const file = join(directory, 'values.json');
  await writeFile(file, JSON.stringify({ agent: trusting, origin: trusting }));
  return file;
}

/** Waits until every part is ready and of the newest revision. */
export async function rolledOut({ kubectl }: Rig): Promise<void> {
  for (const part_ of ['deployment/shoal-tracker', 'statefulset/shoal-origin', 'daemonset/shoal-agent'])
    await kubectl('--namespace=shoal', 'rollout', 'status', part_, '--timeout=150s');
}

/** Everything in containerd's directory of every node. */
export function runtimeConfigurations({ nodes }: Rig): Promise<Map<string, string>[]> {
  return Promise.all(nodes.map((node) => describeTree(node.path('/etc/containerd'))));
}

/** What an agent tells of itself on its node's address. */
export async function agentMetrics({ ask }: Rig, { address }: Node): Promise<Samples> {
  const secret = await ask('GET', `${NAMESPACE}/secrets/shoal-cluster`);
  const token = Buffer.from(String(part(secret, 'data', 'metrics.token')), 'base64').toString('utf8');
  const response = await fetch(`http://${address}:29501/metrics`, {
    headers: { authorization: `Bearer ${token}` },
  });
  return parseMetrics(await response.text());
}

/** What `shoal status` tells on that node. */
export function agentStatus(node: Node): Promise<unknown> {
  const socket = node.path('/var/lib/shoal/agent/admin.sock');
  return askAdmin(socket, { method: 'GET', path: '/v1/status' }, AbortSignal.timeout(5000));
}

/** A pod of Shoal's; one that is made anew may have the name of the one before. */
interface ShoalPod {
  readonly name: string;
  readonly uid: string;
}

/** Of a component, on that node or on all. */
export async function podsOf({ ask }: Rig, component: string, node?: Node): Promise<ShoalPod[]> {
  const selector = encodeURIComponent(`app.kubernetes.io/component=${component}`);
  const field = node === undefined ? '' : `&fieldSelector=spec.nodeName%3D${node.name}`;
  const items = part(await ask('GET', `${NAMESPACE}/pods?labelSelector=${selector}${field}`), 'items');
  if (!Array.isArray(items)) return [];
  return items.map((item) => ({
    name: String(part(item, 'metadata', 'name')),
    uid: String(part(item, 'metadata', 'uid')),
  }));
}

/** As a process dies: with its pod, without notice; what made it makes another. */
export async function killPods(rig: Rig, component: string): Promise<void> {
  const killed = await podsOf(rig, component);
  for (const { name } of killed) await rig.ask('DELETE', `${NAMESPACE}/pods/${name}?gracePeriodSeconds=0`);
  await eventually(`the end of every ${component}`, async () => {
    const left = new Set((await podsOf(rig, component)).map(({ uid }) => uid));
    return killed.some(({ uid }) => left.has(uid)) ? undefined : true;
  });
}

import { eventually } from '../../runtimes/program.ts';
import { object, part } from '../api/cluster.ts';
import type { Rig } from './rig.ts';

const NAMESPACE = '/api/v1/namespaces/default';
const DAEMON_SETS = '/apis/apps/v1/namespaces/default/daemonsets';
const START_MS = 90_000;

export interface PodOptions {
  /** Also the name of its only container. */
  readonly name: string;
  readonly image: string;
  /** Any, by default. */
  readonly node?: string;
  /** Of type kubernetes.io/dockerconfigjson, in the same namespace. */
  readonly pullSecret?: string;
}

export interface Started {
  /** Digest by which the kubelet knows the image that runs. */
  readonly digest: string;
  readonly node: string;
  /** What the kubelet tells of the pull, such as `Successfully pulled image … in 812ms`. */
  readonly pulled: string;
}

async function createPod({ ask }: Rig, { name, node, ...rest }: PodOptions): Promise<void> {
  const spec = { ...specOf(name, rest), ...(node !== undefined && { nodeName: node }) };
  // The account that every pod has comes a moment after its namespace.
  await eventually('the default service account', () =>
    ask('GET', `${NAMESPACE}/serviceaccounts/default`).then(
      () => true,
      () => undefined,
    ),
  );
  await ask('POST', `${NAMESPACE}/pods`, object('v1', 'Pod', name, { spec }));
}

/** Waits until the pod runs. @throws Error with what its kubelet told, when it does not. */
async function podStarts(rig: Rig, name: string): Promise<Started> {
  const isUp = async (): Promise<unknown> => {
    const pod = await rig.ask('GET', `${NAMESPACE}/pods/${name}`);
    return part(pod, 'status', 'containerStatuses', 0, 'ready') === true ? pod : undefined;
  };
  const pod = await eventually(`pod ${name} runs`, isUp, START_MS).catch(async (error: unknown) => {
    throw new Error(`pod ${name} does not run: ${(await podEvents(rig, name)).join('; ')}`, { cause: error });
  });
  const pulled =
    (await podEvents(rig, name)).find((message) => message.startsWith('Successfully pulled')) ?? '';
  return {
    digest:
      String(part(pod, 'status', 'containerStatuses', 0, 'imageID'))
        .split('@')
        .at(-1) ?? '',
    node: String(part(pod, 'spec', 'nodeName')),
    pulled,
  };
}

/** A pod that must start; it is taken away when it has. */
export async function podRuns(rig: Rig, options: PodOptions): Promise<Started> {
  await createPod(rig, options);
  try {
    return await podStarts(rig, options.name);
  } finally {
    await deletePod(rig, options.name);
  }
}

/** A pod whose image must not be had; it is taken away then. @returns what its kubelet told. */
export async function pullFails(rig: Rig, options: PodOptions): Promise<string> {
  await createPod(rig, options);
  const waiting = async (): Promise<string | undefined> => {
    const pod = await rig.ask('GET', `${NAMESPACE}/pods/${options.name}`);
    const state = part(pod, 'status', 'containerStatuses', 0, 'state');
    if (part(state, 'running') !== undefined) throw new Error(`pod ${options.name} runs`);
    const reason = part(state, 'waiting', 'reason');
    return reason === 'ErrImagePull' ? String(part(state, 'waiting', 'message')) : undefined;
  };
  try {
    return await eventually(`ErrImagePull of pod ${options.name}`, waiting);
  } finally {
    await deletePod(rig, options.name);
  }
}

/** One pod on every node. */
export async function createDaemonSet(
  { ask }: Rig,
  { name, ...rest }: Omit<PodOptions, 'node'>,
): Promise<void> {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: specOf(name, rest) };
  const spec = { selector: { matchLabels: labels }, template };
  await ask('POST', DAEMON_SETS, object('apps/v1', 'DaemonSet', name, { spec }));
}

export async function daemonSetStarts(rig: Rig, name: string): Promise<Started[]> {
  const names = await eventually(`pods of ${name}`, async () => {
    const found = await podsOf(rig, name);
    return found.length === rig.nodes.length ? found : undefined;
  });
  return Promise.all(names.map((pod) => podStarts(rig, pod)));
}

/** With its pods. */
export async function deleteDaemonSet(rig: Rig, name: string): Promise<void> {
  await rig.ask('DELETE', `${DAEMON_SETS}/${name}`);
  await eventually(
    `the end of ${name}`,
    async () => ((await podsOf(rig, name)).length === 0 ? true : undefined),
    START_MS,
  );
}

/** Of type kubernetes.io/dockerconfigjson. */
export async function createPullSecret(
  { ask }: Rig,
  name: string,
  { registry, user, password }: { registry: string; user: string; password: string },
): Promise<void> {
  const auth = Buffer.from(`${user}:${password}`).toString('base64');
  const stringData = { '.dockerconfigjson': JSON.stringify({ auths: { [registry]: { auth } } }) };
  const type = 'kubernetes.io/dockerconfigjson';
  await ask('POST', `${NAMESPACE}/secrets`, object('v1', 'Secret', name, { type, stringData }));
}

function specOf(name: string, { image, pullSecret }: Pick<PodOptions, 'image' | 'pullSecret'>): object {
  return {
    terminationGracePeriodSeconds: 1,
    enableServiceLinks: false,
    automountServiceAccountToken: false,
    ...(pullSecret !== undefined && { imagePullSecrets: [{ name: pullSecret }] }),
    containers: [{ name, image, imagePullPolicy: 'Always' }],
  };
}

async function deletePod({ ask }: Rig, name: string): Promise<void> {
  await ask('DELETE', `${NAMESPACE}/pods/${name}?gracePeriodSeconds=0`);
}

async function podsOf({ ask }: Rig, app: string): Promise<string[]> {
  const items = part(await ask('GET', `${NAMESPACE}/pods?labelSelector=app%3D${app}`), 'items');
  return Array.isArray(items) ? items.map((item) => String(part(item, 'metadata', 'name'))) : [];
}

async function podEvents({ ask }: Rig, name: string): Promise<string[]> {
  const items = part(
    await ask('GET', `${NAMESPACE}/events?fieldSelector=involvedObject.name%3D${name}`),
    'items',
  );
  return Array.isArray(items) ? items.map((item) => String(part(item, 'message'))) : [];
}

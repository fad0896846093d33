import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { connectKubernetes } from '#kubernetes/api.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';

import { eventually, run } from '../../runtimes/program.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { part } from '../api/cluster.ts';
import { ControlPlane } from '../control-plane.ts';
import { CONTROLLER_USERS, startControllers } from './controllers.ts';
import { packLastingImage } from './lasting-layer.ts';
import { MACHINE, openNetwork } from './network.ts';
import { Node, type NodeParts, nodeUsers } from './node.ts';
import { PAUSE_IMAGE } from './node-files.ts';
import { authoritiesOf, startUpstreams, type Upstreams } from './upstreams.ts';

const COUNT = 3;
const NODES_READY_MS = 90_000;

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
type Program = (...args: readonly string[]) => Promise<string>;

/** A cluster of real nodes, and the registries that its images are in. */
export interface Rig extends AsyncDisposable {
  readonly directory: string;
  readonly plane: ControlPlane;
  readonly nodes: readonly Node[];
  readonly upstreams: Upstreams;
  /** OCI layout of Shoal's image. */
  readonly image: string;
  /** As the administrator. @throws ApiError */
  readonly ask: (method: Method, path: string, body?: object) => Promise<unknown>;
  readonly kubectl: Program;
  readonly helm: Program;
  logs(): string;
}

/** Alone in network, mount and pid namespaces, as `run.sh` starts it. @throws Error anywhere else */
export async function startRig(): Promise<Rig> {
  const { bin, cgroup, image } = readEnvironment();
  await using starting = new AsyncDisposableStack();
  const directory = starting.use(await temporaryDirectory('nodes')).path;
  await openNetwork(COUNT);
  const users = [...nodeUsers(COUNT), ...CONTROLLER_USERS];
  const plane = starting.use(await ControlPlane.start({ bin, address: MACHINE.controlPlane, users }));
  const controllers = starting.use(await startControllers({ plane, bin, directory }));
  const upstreams = await startUpstreams(directory, starting);
  const authorities = join(directory, 'authorities.pem');
  await writeFile(authorities, authoritiesOf(upstreams));
  const pauseImage = await packLastingImage(directory, PAUSE_IMAGE);
  const nodes = await startNodes({ plane, bin, directory, cgroup, pauseImage, authorities }, starting);
  const ask = askBy(starting.use(await connectKubernetes(await plane.kubeconfig())));
  for (const { name } of nodes) await untilReady(ask, name);
  const program = await programsOf(bin, directory, plane);
  const running = starting.move();
  return {
    directory,
    plane,
    nodes,
    upstreams,
    image,
    ask,
    kubectl: program('kubectl'),
    helm: program('helm'),
    logs: () => [plane, controllers, ...nodes].map((each) => each.logs()).join('\n══\n'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Where nothing is set, this process is not alone, and would change the machine's own network. */
function readEnvironment(): { bin: string; cgroup: string; image: string } {
  const [bin, cgroup, image] = ['BIN', 'CGROUP', 'IMAGE'].map((name) => process.env[`SHOAL_NODES_${name}`]);
  if (bin !== undefined && cgroup !== undefined && image !== undefined) return { bin, cgroup, image };
  throw new Error('nodes are started by npm run test:kubernetes only');
}

async function startNodes(parts: NodeParts, starting: AsyncDisposableStack): Promise<Node[]> {
  const nodes = Array.from({ length: COUNT }, (_, index) => new Node(parts, index + 1, COUNT));
  for (const node of nodes) starting.use(node);
  await Promise.all(nodes.map((node) => node.install().then(() => node.start())));
  return nodes;
}

/** Programs of the administrator's, with a home of their own. */
async function programsOf(
  bin: string,
  directory: string,
  plane: ControlPlane,
): Promise<(name: string) => Program> {
  const home = join(directory, 'home');
  const kubeconfig = join(home, 'kubeconfig');
  await mkdir(home);
  await writeFile(kubeconfig, await plane.kubeconfig(), { mode: 0o600 });
  return (name) =>
    (...args) =>
      run([join(bin, name), ...args], { env: { KUBECONFIG: kubeconfig, HOME: home } });
}

function askBy(api: KubernetesApi): Rig['ask'] {
  return (method, path, body) =>
    api.ask(
      { method, path, ...(body && { body }), ...(method === 'PATCH' && { patch: 'merge' }) },
      AbortSignal.timeout(20_000),
    );
}

/** Whether its kubelet says so, or the controller manager for one that says nothing more. */
export async function isReady(ask: Rig['ask'], name: string): Promise<boolean> {
  const conditions = part(await ask('GET', `/api/v1/nodes/${name}`), 'status', 'conditions');
  const found = Array.isArray(conditions)
    ? conditions.find((each) => part(each, 'type') === 'Ready')
    : undefined;
  return part(found, 'status') === 'True';
}

function untilReady(ask: Rig['ask'], name: string): Promise<boolean> {
  return eventually(`${name} is Ready`, () => isReady(ask, name).catch(() => false), NODES_READY_MS);
}

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { connectKubernetes } from '#kubernetes/api.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';

import { eventually, run, words } from '../../runtimes/program.ts';
import { startTokenIssuer } from '../../runtimes/token-issuer.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { part } from '../api/cluster.ts';
import { ControlPlane, tools } from '../control-plane.ts';
import { CONTROLLER_USERS, startControllers } from './controllers.ts';
import { packLastingImage } from './lasting-layer.ts';
import { MACHINE, openNetwork } from './network.ts';
import { Node, nodeUsers } from './node.ts';
import { PAUSE_IMAGE } from './node-files.ts';
import { startUpstream, type Upstream } from './upstream.ts';

const COUNT = 3;
const NODES_READY_MS = 90_000;
export const ALICE = { user: 'alice', password: 'right' };
const PUBLISHER = { user: 'publisher', password: 'publish' };
/** What the token registry holds that alice may read. */
const TOKEN_REPOSITORIES = ['team/token', 'team/syn'];

const TOOLS = words(
  'etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl helm coredns ' +
    'containerd containerd-shim-runc-v2 ctr bridge loopback host-local portmap',
);

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A cluster of real nodes, and the registries that its images are in. */
export interface Rig extends AsyncDisposable {
  readonly directory: string;
  readonly plane: ControlPlane;
  readonly nodes: readonly Node[];
  readonly upstreams: Readonly<Record<'public' | 'password' | 'token', Upstream>>;
  /** PEM file of the registries' authorities. */
  readonly authorities: string;
  /** As the administrator. @throws ApiError */
  readonly ask: (method: Method, path: string, body?: object) => Promise<unknown>;
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  readonly helm: (...args: readonly string[]) => Promise<string>;
  logs(): string;
}

/** Wants to be alone in its network, mount and pid namespaces: see `run.sh`. */
export async function startRig(): Promise<Rig> {
  await using starting = new AsyncDisposableStack();
  const bin = await tools(...TOOLS);
  const directory = starting.use(await temporaryDirectory('nodes')).path;
  await openNetwork(COUNT);
  const users = [...nodeUsers(COUNT), ...CONTROLLER_USERS];
  const plane = starting.use(await ControlPlane.start({ bin, address: MACHINE.controlPlane, users }));
  const controllers = starting.use(await startControllers({ plane, bin, directory }));
  const upstreams = await startUpstreams(directory, starting);
  const authorities = join(directory, 'authorities.pem');
  await writeFile(
    authorities,
    Object.values(upstreams)
      .map(({ registry }) => registry.ca)
      .join(''),
  );
  const pauseImage = await packLastingImage(directory, PAUSE_IMAGE);
  const cgroup = process.env['SHOAL_NODES_CGROUP'] ?? 'shoal-nodes';
  const parts = { plane, bin, directory, cgroup, pauseImage, authorities };
  const nodes = Array.from({ length: COUNT }, (_, index) => new Node(parts, index + 1, COUNT));
  for (const node of nodes) starting.use(node);
  await Promise.all(nodes.map((node) => node.install().then(() => node.start())));
  const api = starting.use(await connectKubernetes(await plane.kubeconfig()));
  const ask = askBy(api);
  for (const { name } of nodes) await untilReady(ask, name);
  const home = join(directory, 'home');
  await mkdir(home);
  await writeFile(join(home, 'kubeconfig'), await plane.kubeconfig(), { mode: 0o600 });
  const program =
    (name: string) =>
    (...args: readonly string[]): Promise<string> =>
      run([join(bin, name), ...args], { env: { KUBECONFIG: join(home, 'kubeconfig'), HOME: home } });
  const running = starting.move();
  return {
    directory,
    plane,
    nodes,
    upstreams,
    authorities,
    ask,
    kubectl: program('kubectl'),
    helm: program('helm'),
    logs: () => [plane, controllers, ...nodes].map((each) => each.logs()).join('\n══\n'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function startUpstreams(directory: string, starting: AsyncDisposableStack): Promise<Rig['upstreams']> {
  const users = {
    alice: { password: ALICE.password, pull: TOKEN_REPOSITORIES },
    publisher: { password: PUBLISHER.password, pull: TOKEN_REPOSITORIES, push: TOKEN_REPOSITORIES },
  };
  const issuer = starting.use(await startTokenIssuer({ directory, address: MACHINE.tokenRealm, users }));
  const [open, password, token] = await Promise.all([
    startUpstream({ directory, address: MACHINE.publicRegistry }),
    startUpstream({
      directory,
      address: MACHINE.passwordRegistry,
      auth: { kind: 'htpasswd', ...ALICE },
      credentials: ALICE,
    }),
    startUpstream({
      directory,
      address: MACHINE.tokenRegistry,
      auth: { kind: 'token', trust: issuer.trust },
      credentials: PUBLISHER,
    }),
  ]);
  for (const upstream of [open, password, token]) starting.use(upstream);
  return { public: open, password, token };
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

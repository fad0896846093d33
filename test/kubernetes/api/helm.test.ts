import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, onTestFinished, test, vi } from 'vitest';

import { connectKubernetes } from '#kubernetes/api.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';
import { EventRecorder } from '#kubernetes/event-recorder.ts';

import { run } from '../../runtimes/program.ts';
import { temporaryDirectory, type TemporaryDirectory } from '../../support/temporary-directory.ts';
import { type Cluster, part, startCluster } from './cluster.ts';

const CHART = join(import.meta.dirname, '../../../charts/shoal');
const NAMESPACED = '/api/v1/namespaces/shoal';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

let dir: TemporaryDirectory;
let cluster: Cluster;

beforeAll(async () => {
  dir = await temporaryDirectory('helm');
  cluster = await startCluster();
  await writeFile(dir.join('kubeconfig'), await cluster.plane.kubeconfig(), { mode: 0o600 });
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await dir?.[Symbol.asyncDispose]();
});

function helm(command: string, ...args: string[]): Promise<string> {
  return helmIn('shoal', command, ...args);
}

/** Cache and settings are the test's own. */
function helmIn(namespace: string, command: string, ...args: string[]): Promise<string> {
  const env = { KUBECONFIG: dir.join('kubeconfig'), HOME: dir.path };
  return run([join(inject('tools'), 'helm'), command, 'shoal', ...args, '--namespace', namespace], { env });
}

async function secrets(): Promise<unknown[]> {
  const names = ['shoal-cluster', 'shoal-origin'];
  return Promise.all(
    names.map(async (name) => part(await cluster.ask('GET', `${NAMESPACED}/secrets/${name}`), 'data')),
  );
}

async function configOf(component: string): Promise<unknown> {
  return part(await cluster.ask('GET', `${NAMESPACED}/configmaps/shoal-${component}`), 'data', 'config.yaml');
}

async function namesIn(path: string): Promise<string[]> {
  const items = part(await cluster.ask('GET', path), 'items');
  const names = Array.isArray(items) ? items.map((item) => String(part(item, 'metadata', 'name'))) : [];
  return names.filter((name) => name.startsWith('shoal'));
}

test('one install with no values; upgrade and rollback keep the keys; uninstall leaves nothing', async () => {
  await helm('install', CHART, '--create-namespace');
  const keys = await secrets();
  expect(keys).toMatchObject([{ 'cluster.key': expect.any(String) }, { 'origin.key': expect.any(String) }]);

  await helm('upgrade', CHART, '--set', 'agent.config.log.level=debug');
  expect(await secrets()).toEqual(keys);
  expect(await configOf('agent')).toContain('level: debug');

  await helm('rollback', '1');
  expect(await secrets()).toEqual(keys);
  expect(await configOf('agent')).not.toContain('level: debug');

  await helm('upgrade', CHART, '--reuse-values', '--set', 'cleanUp.enabled=true');
  expect(await namesIn('/apis/apps/v1/namespaces/shoal/daemonsets')).toEqual(['shoal-clean-up']);

  await helm('uninstall');
  const collections = [
    ...['configmaps', 'secrets', 'services', 'serviceaccounts'].map((kind) => `${NAMESPACED}/${kind}`),
    ...['daemonsets', 'deployments', 'statefulsets'].map((kind) => `/apis/apps/v1/namespaces/shoal/${kind}`),
    ...['clusterroles', 'clusterrolebindings', 'namespaces/shoal/roles'].map((kind) => `${RBAC}/${kind}`),
    '/apis/scheduling.k8s.io/v1/priorityclasses',
    '/apis/networking.k8s.io/v1/namespaces/shoal/networkpolicies',
  ];
  const left = await Promise.all(collections.map(namesIn));
  expect(left.flat()).toEqual([]);
});

test('two releases of one name in two namespaces have nothing in common', async () => {
  await helm('install', CHART, '--create-namespace');
  await helmIn('team', 'install', CHART, '--create-namespace');
  expect(await may('shoal-tracker', 'list /nodes')).toBe(true);
  expect(await may('shoal-tracker', 'list /nodes', 'team')).toBe(true);
  await helm('uninstall');
  expect(await may('shoal-tracker', 'list /nodes', 'team')).toBe(true);
  expect(await may('shoal-tracker', 'create /events default', 'team')).toBe(true);
  await helmIn('team', 'uninstall');
});

/** `verb group/resource[/subresource] [namespace [name]]`, as the API server's authorizer sees it. */
async function may(account: string, right: string, home = 'shoal'): Promise<boolean> {
  const [verb, path = '', namespace, name] = right.split(' ');
  const [group, resource, subresource] = path.split('/');
  const resourceAttributes = { verb, group, resource, subresource, namespace, name };
  const review = await cluster.ask('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user: `system:serviceaccount:${home}:${account}`, resourceAttributes },
  });
  return part(review, 'status', 'allowed') === true;
}

const NEEDED = [
  'list /nodes',
  'watch /nodes',
  'watch discovery.k8s.io/endpointslices shoal',
  'watch shoal.dev/imagepreheats shoal',
  'patch shoal.dev/imagepreheats/status shoal warm',
  'create coordination.k8s.io/leases shoal',
  'update coordination.k8s.io/leases shoal shoal-tracker',
  'create /events shoal',
  'create /events default',
  'patch /events default',
];
const WITH_TAINT = ['patch /nodes'];
const WITH_PULL_SECRETS = ['get /secrets shoal login'];
const NEVER = [
  'get /secrets shoal shoal-origin',
  'list /secrets shoal',
  'get /secrets default login',
  'update coordination.k8s.io/leases shoal other',
  'watch shoal.dev/imagepreheats default',
  'create /pods shoal',
  'delete /nodes',
];

async function allowed(account: string, rights: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(rights.map((right) => may(account, right)));
  return rights.filter((_, index) => answers[index]);
}

/** As a pod with this ServiceAccount is let in. */
async function apiOf(account: string): Promise<KubernetesApi> {
  const path = `${NAMESPACED}/serviceaccounts/${account}/token`;
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  const token = String(part(await cluster.ask('POST', path, asked), 'status', 'token'));
  const api = await connectKubernetes(await cluster.plane.kubeconfig(token, 'shoal'));
  onTestFinished(() => api[Symbol.asyncDispose]());
  return api;
}

test('the tracker tells of a node’s troubles by the rights that the chart gives it', async () => {
  await helm('install', CHART, '--create-namespace');
  const api = await apiOf('shoal-tracker');
  const onFailure = vi.fn<(reason: string) => void>();
  const { signal } = new AbortController();
  let clock = 0;
  const recorder = new EventRecorder(
    { api, now: () => clock, wallClock: Date.now, onFailure, signal },
    'shoal-tracker',
  );
  const node = { apiVersion: 'v1', kind: 'Node', name: 'node1', uid: 'u1' };
  const events = '/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dnode1';
  for (const count of [1, 2]) {
    recorder.record(node, { type: 'Warning', reason: 'ShoalStoreFull', message: 'no room' });
    await expect
      .poll(async () => part(await cluster.ask('GET', events), 'items'))
      .toEqual([expect.objectContaining({ reason: 'ShoalStoreFull', count })]);
    clock += 120_000;
  }
  expect(onFailure).not.toHaveBeenCalled();
  await helm('uninstall');
});

test('the tracker may do what it does and no more, agents and origins nothing', async () => {
  const all = [...NEEDED, ...WITH_TAINT, ...WITH_PULL_SECRETS, ...NEVER];
  await helm('install', CHART, '--create-namespace');
  expect(await allowed('shoal-tracker', all)).toEqual(NEEDED);
  for (const account of ['shoal-agent', 'shoal-origin', 'default'])
    expect(await allowed(account, all)).toEqual([]);

  await helm('upgrade', CHART, '--set', 'startupTaint.enabled=true,preheat.pullSecrets={login}');
  expect(await allowed('shoal-tracker', all)).toEqual([...NEEDED, ...WITH_TAINT, ...WITH_PULL_SECRETS]);
  await helm('uninstall');
  expect(await allowed('shoal-tracker', all)).toEqual([]);
});

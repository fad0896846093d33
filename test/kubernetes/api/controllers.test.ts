import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { connectKubernetes } from '#kubernetes/api.ts';
import { startControllers } from '#kubernetes/controllers.ts';
import type { Controllers } from '#kubernetes/controllers.ts';
import { createLogger } from '#service/logger.ts';

import { Agents, FAILED, FETCHING, WARM, warmAfter } from './agents.ts';
import { type Cluster, object, part, preheatsPath, startCluster } from './cluster.ts';

const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const TAINT = { key: 'node.shoal.dev/agent-not-ready', effect: 'NoSchedule' };
const PATIENCE = { timeout: 30_000, interval: 100 };

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

let agents: Agents;
let running: AsyncDisposableStack;
beforeEach(() => {
  running = new AsyncDisposableStack();
  agents = running.use(new Agents());
});
afterEach(async () => {
  await running.disposeAsync();
  for (const path of [preheatsPath(), SLICES, '/api/v1/nodes', '/api/v1/namespaces/default/events'])
    await cluster.ask('DELETE', path);
});

/** A tracker's controllers, which lead unless others do. */
async function start(): Promise<Controllers> {
  const api = await connectKubernetes(await cluster.plane.kubeconfig());
  const controllers = startControllers(
    {
      api,
      dispatcher: agents.dispatcher,
      scheme: 'http',
      logger: createLogger('test', { level: 'silent' }),
      onLeading: () => undefined,
      now: () => performance.now(),
      wallClock: Date.now,
      random: Math.random,
    },
    {
      agentService: 'shoal-agent',
      lease: 'shoal-tracker',
      startupTaint: true,
      zoneLabel: 'zone',
      regionLabel: 'region',
      rackLabel: 'example.com/rack',
    },
  );
  running.use(api);
  running.use(controllers);
  return controllers;
}

interface NodeOptions {
  readonly labels?: Record<string, string>;
  readonly platform?: string;
  readonly taints?: readonly object[];
}

async function addNode(
  name: string,
  { labels, platform = 'linux/amd64', taints }: NodeOptions = {},
): Promise<void> {
  const [os, arch] = platform.split('/');
  const metadata = { labels: { 'kubernetes.io/os': os, 'kubernetes.io/arch': arch, ...labels } };
  await cluster.ask('POST', '/api/v1/nodes', object('v1', 'Node', name, { metadata, spec: { taints } }));
}

/** Node `node<i>` has its agent at 10.1.0.<i>. */
async function placeAgents(...nodes: readonly number[]): Promise<void> {
  const slice = object('discovery.k8s.io/v1', 'EndpointSlice', 'shoal-agent-1', {
    metadata: { labels: { 'kubernetes.io/service-name': 'shoal-agent' } },
    addressType: 'IPv4',
    ports: [{ name: 'members', port: 29_503, protocol: 'TCP' }],
    endpoints: nodes.map((index) => ({
      addresses: [`10.1.0.${index}`],
      nodeName: `node${index}`,
      conditions: { ready: true },
    })),
  });
  await cluster.ask('DELETE', `${SLICES}/shoal-agent-1`).catch(() => undefined);
  await cluster.ask('POST', SLICES, slice);
}

async function preheat(name: string, spec: object): Promise<void> {
  await cluster.ask('POST', preheatsPath(), object('shoal.dev/v1alpha1', 'ImagePreheat', name, { spec }));
}

function login(user: string): object {
  return { auth: Buffer.from(`${user}:secret`).toString('base64') };
}

async function addSecret(name: string, auths: object): Promise<void> {
  const config = Buffer.from(JSON.stringify({ auths })).toString('base64');
  const rest = { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': config } };
  await cluster.ask('POST', '/api/v1/namespaces/default/secrets', object('v1', 'Secret', name, rest));
}

/** Keys of its taints, but for the one that every new node has until a kubelet reports. */
async function taintsOf(node: string): Promise<string[]> {
  const taints = part(await cluster.ask('GET', `/api/v1/nodes/${node}`), 'spec', 'taints');
  const keys = Array.isArray(taints) ? taints.map((taint) => String(part(taint, 'key'))) : [];
  return keys.filter((key) => key !== 'node.kubernetes.io/not-ready');
}

async function statusOf(name: string): Promise<unknown> {
  return part(await cluster.ask('GET', preheatsPath(name)), 'status');
}

async function eventsOf(kind: string, name: string): Promise<string[]> {
  const fieldSelector = `involvedObject.kind=${kind},involvedObject.name=${name}`;
  const found = await cluster.api.ask(
    { method: 'GET', path: '/api/v1/namespaces/default/events', query: { fieldSelector } },
    AbortSignal.timeout(5000),
  );
  const items = part(found, 'items');
  return Array.isArray(items) ? items.map((item) => String(part(item, 'reason'))) : [];
}

describe('an ImagePreheat', () => {
  it('is complete when every selected node holds every image, and says what a tag was resolved to', async () => {
    for (const index of [1, 2, 3]) await addNode(`node${index}`, { labels: { pool: index < 3 ? 'a' : 'b' } });
    for (const index of [1, 2, 3]) await agents.start(`10.1.0.${index}`, warmAfter(index));
    await placeAgents(1, 2, 3);
    await start();
    await preheat('both', { images: ['app:1', 'ghcr.io/acme/tool:2'], nodeSelector: { pool: 'a' } });
    await expect
      .poll(() => statusOf('both'), PATIENCE)
      .toMatchObject({
        state: 'Complete',
        imagesTotal: 2,
        nodes: { selected: 2, warm: 2, failed: 0 },
        images: [
          { image: 'app:1', digest: WARM.digest, warmNodes: 2 },
          { image: 'ghcr.io/acme/tool:2', warmNodes: 2, failedNodes: 0 },
        ],
        conditions: expect.arrayContaining([
          expect.objectContaining({ type: 'Complete', status: 'True', message: '2 of 2 nodes are warm' }),
        ]),
      });
    expect(agents.requests.filter(({ address }) => address === '10.1.0.3')).toEqual([]);
    await expect.poll(() => eventsOf('ImagePreheat', 'both'), PATIENCE).toContain('PreheatComplete');
  });

  it('has no more nodes fetch at one time than it may, and only those of its platforms', async () => {
    for (const index of [1, 2, 3, 4, 5]) {
      await addNode(`node${index}`, { platform: index === 5 ? 'linux/arm64' : 'linux/amd64' });
      await agents.start(`10.1.0.${index}`, warmAfter(1));
    }
    await placeAgents(1, 2, 3, 4, 5);
    await start();
    await preheat('few', { images: ['app'], concurrency: 1, platforms: ['linux/amd64'] });
    await expect
      .poll(() => statusOf('few'), PATIENCE)
      .toMatchObject({ state: 'Complete', nodes: { warm: 4 } });
    expect(agents.mostAtOnce).toBeLessThanOrEqual(2);
    expect(agents.requests.some(({ address }) => address === '10.1.0.5')).toBe(false);
  });

  it('tells which image which node cannot get and why, and completes when it can', async () => {
    for (const index of [1, 2]) await addNode(`node${index}`);
    await agents.start('10.1.0.1', () => WARM);
    await agents.start('10.1.0.2', () => FAILED);
    await placeAgents(1, 2);
    await start();
    await preheat('denied', { images: ['app'] });
    await expect
      .poll(() => statusOf('denied'), PATIENCE)
      .toMatchObject({
        state: 'Warming',
        nodes: { selected: 2, warm: 1, failed: 1 },
        images: [{ failedNodes: 1, message: 'the registry says: denied' }],
      });
    agents.behave('10.1.0.2', () => WARM);
    await expect
      .poll(() => statusOf('denied'), PATIENCE)
      .toMatchObject({ state: 'Complete', nodes: { failed: 0 } });
  });

  it('fails at its deadline, and says what is missing', async () => {
    await addNode('node1');
    await addNode('node9');
    await agents.start('10.1.0.1', () => FETCHING);
    await placeAgents(1);
    await start();
    await preheat('late', { images: ['app'], deadlineSeconds: 10 });
    await expect
      .poll(() => statusOf('late'), PATIENCE)
      .toMatchObject({
        state: 'Failed',
        conditions: expect.arrayContaining([
          expect.objectContaining({
            type: 'Failed',
            status: 'True',
            reason: 'DeadlineExceeded',
            message: '0 of 2 nodes are warm; 1 have no agent that could be asked',
          }),
        ]),
      });
    await expect.poll(() => eventsOf('ImagePreheat', 'late'), PATIENCE).toContain('PreheatFailed');
    const asked = agents.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(agents.requests.length).toBe(asked);
  });

  it('is given up when it is deleted', async () => {
    await addNode('node1');
    await agents.start('10.1.0.1', () => FETCHING);
    await placeAgents(1);
    await start();
    await preheat('gone', { images: ['app'] });
    await expect.poll(() => agents.requests.length, PATIENCE).toBeGreaterThan(0);
    await cluster.ask('DELETE', preheatsPath('gone'));
    await expect
      .poll(async () => {
        const before = agents.requests.length;
        await new Promise((resolve) => setTimeout(resolve, 2000));
        return agents.requests.length - before;
      }, PATIENCE)
      .toBe(0);
  });

  it('goes on under another tracker when the one that ran it is gone', async () => {
    for (const index of [1, 2]) await addNode(`node${index}`);
    await agents.start('10.1.0.1', () => WARM);
    await agents.start('10.1.0.2', () => FETCHING);
    await placeAgents(1, 2);
    const first = await start();
    await preheat('handed-on', { images: ['app'] });
    await expect.poll(() => statusOf('handed-on'), PATIENCE).toMatchObject({ nodes: { warm: 1 } });
    const second = await start();
    const startTime = part(await statusOf('handed-on'), 'startTime');
    await first[Symbol.asyncDispose]();
    await expect.poll(() => second.leads, PATIENCE).toBe(true);
    agents.behave('10.1.0.2', () => WARM);
    await expect
      .poll(() => statusOf('handed-on'), PATIENCE)
      .toMatchObject({ state: 'Complete', startTime, nodes: { warm: 2 } });
  });

  it('outlives a restart of the API server and a writer that is quicker', async () => {
    await addNode('node1');
    await agents.start('10.1.0.1', () => FETCHING);
    await placeAgents(1);
    await start();
    await preheat('disturbed', { images: ['app'] });
    await expect.poll(() => statusOf('disturbed'), PATIENCE).toMatchObject({ state: 'Warming' });
    await cluster.plane.killApiServer();
    agents.behave('10.1.0.1', () => WARM);
    await cluster.plane.startApiServer();
    // Each such write makes the version that the controller has seen an old one.
    const annotate = (value: number): Promise<unknown> =>
      cluster.ask('PATCH', preheatsPath('disturbed'), {
        metadata: { annotations: { value: String(value) } },
      });
    for (let value = 0; value < 20; value += 1) await annotate(value);
    await expect
      .poll(() => statusOf('disturbed'), PATIENCE)
      .toMatchObject({ state: 'Complete', nodes: { selected: 1, warm: 1 } });
  });

  it('gives the agents the credential of the first Secret that has one for the registry', async () => {
    await addNode('node1');
    await agents.start('10.1.0.1', () => WARM);
    await placeAgents(1);
    await addSecret('others', { 'other.example': login('other') });
    await addSecret('pull', { 'registry.example': login('user') });
    await start();
    const imagePullSecrets = ['missing', 'others', 'pull'].map((name) => ({ name }));
    await preheat('private', {
      images: ['registry.example/app:1', 'public.example/app:1'],
      imagePullSecrets,
    });
    await expect
      .poll(() => statusOf('private'), PATIENCE)
      .toMatchObject({
        state: 'Complete',
        conditions: expect.arrayContaining([
          expect.objectContaining({ message: expect.stringContaining('Secret missing: there is none') }),
        ]),
      });
    const given = new Map(agents.requests.map(({ image, credential }) => [image.split('/')[0], credential]));
    expect(given.get('registry.example')).toEqual({ kind: 'password', username: 'user', password: 'secret' });
    expect(given.get('public.example')).toBeUndefined();
    expect(JSON.stringify(await statusOf('private'))).not.toContain('secret"');
  });
});

describe('a node', () => {
  it('loses its start-up taint when its agent serves, and no other taint', async () => {
    await addNode('node1', { taints: [TAINT, { key: 'gpu', effect: 'NoSchedule' }] });
    await addNode('node2', { taints: [TAINT] });
    await placeAgents(1);
    await start();
    await expect.poll(() => taintsOf('node1'), PATIENCE).toEqual(['gpu']);
    expect(await taintsOf('node2')).toEqual([TAINT.key]);
    await placeAgents(1, 2);
    await expect.poll(() => taintsOf('node2'), PATIENCE).toEqual([]);
  });

  it('is where its labels say, as soon as they say so', async () => {
    await addNode('node1', { labels: { zone: 'a', region: 'r', 'example.com/rack': '7' } });
    const controllers = await start();
    await controllers.located;
    expect(controllers.topologyOf('node1')).toEqual({ node: 'node1', zone: 'a', region: 'r', rack: '7' });
    expect(controllers.topologyOf('unknown')).toEqual({ node: 'unknown' });
    await cluster.ask('PATCH', '/api/v1/nodes/node1', { metadata: { labels: { zone: 'b' } } });
    await expect.poll(() => controllers.topologyOf('node1').zone, PATIENCE).toBe('b');
  });

  it('has an Event on what whoever runs it should know, counted up and not repeated', async () => {
    await addNode('node1');
    const controllers = await start();
    await controllers.located;
    for (let time = 0; time < 3; time += 1) controllers.reportNode('node1', 'StoreFull', 'the disk is full');
    controllers.reportNode('unknown', 'StoreFull', 'the disk is full');
    await expect.poll(() => eventsOf('Node', 'node1'), PATIENCE).toEqual(['StoreFull']);
  });
});

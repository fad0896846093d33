import { writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Agent } from 'undici';

import { endpointsWatcherFor } from '#kubernetes/endpoint-members.ts';
import { Discovery } from '#service/discovery/discovery.ts';
import { createLogger } from '#service/logger.ts';
import { Announcer } from '#swarm/announce/announcer.ts';
import { fixedMembers } from '#service/discovery/member-list.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { runTracker } from '../../unit/tracker/running-tracker.ts';
import { type Cluster, object, part, startCluster } from './cluster.ts';

const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
/** What a change may take from the API server to whoever watches. */
const WITHIN = { timeout: 5000, interval: 50 };

let cluster: Cluster;
const directory = await temporaryDirectory('kubeconfig');
beforeAll(async () => {
  cluster = await startCluster();
  await writeFile(directory.join('config'), await cluster.plane.kubeconfig());
  vi.stubEnv('KUBECONFIG', directory.join('config'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await cluster[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});
afterEach(async () => {
  await cluster.ask('DELETE', SLICES);
});

interface Endpoint {
  readonly addresses: readonly string[];
  readonly hostname?: string;
  readonly ready?: boolean;
}

/** Replaces the slice of that family, as the control plane does. */
async function place(family: 'IPv4' | 'IPv6', ...endpoints: readonly Endpoint[]): Promise<void> {
  const name = `origin-${family.toLowerCase()}`;
  const slice = object('discovery.k8s.io/v1', 'EndpointSlice', name, {
    metadata: { labels: { 'kubernetes.io/service-name': 'origin' } },
    addressType: family,
    ports: [
      { name: 'peer', port: 29_522, protocol: 'TCP' },
      { name: 'http', port: 29_520, protocol: 'TCP' },
    ],
    endpoints: endpoints.map(({ ready = true, addresses, hostname }) => ({
      addresses,
      hostname,
      conditions: { ready },
    })),
  });
  await cluster.ask('DELETE', `${SLICES}/${name}`).catch(() => undefined);
  await cluster.ask('POST', SLICES, slice);
}

async function follow(): Promise<Discovery> {
  const entries = ['endpoints+default/origin:http'];
  const logger = createLogger('test', { level: 'silent' });
  const running = new AsyncDisposableStack();
  onTestFinished(() => running.disposeAsync());
  const watchEndpoints = await endpointsWatcherFor(entries, { logger }, running);
  const parts = { logger, random: Math.random, ...(watchEndpoints && { watchEndpoints }) };
  return running.use(await Discovery.start('origins', entries, parts, new AbortController().signal));
}

async function eventsOf(node: string): Promise<string[]> {
  const query = { fieldSelector: `involvedObject.kind=Node,involvedObject.name=${node}` };
  const path = '/api/v1/namespaces/default/events';
  const found = await cluster.api.ask({ method: 'GET', path, query }, AbortSignal.timeout(5000));
  const items = part(found, 'items');
  return Array.isArray(items) ? items.map((item) => String(part(item, 'reason'))).sort() : [];
}

describe('members by their endpoints', () => {
  it('go by names that DNS has too, and are seen within seconds when they come and go', async () => {
    await place('IPv4', { addresses: ['10.0.0.1'], hostname: 'origin-0' });
    const found = await follow();
    await expect.poll(() => found.current, WITHIN).toEqual(['origin-0.origin.default.svc:29520']);
    expect(found.addressesOf('origin-0.origin.default.svc')).toEqual(['10.0.0.1']);
    await place(
      'IPv4',
      { addresses: ['10.0.0.9'], hostname: 'origin-0' },
      { addresses: ['10.0.0.2'], hostname: 'origin-1' },
      { addresses: ['10.0.0.3'], hostname: 'origin-2', ready: false },
    );
    await expect
      .poll(() => found.current, WITHIN)
      .toEqual(['origin-0.origin.default.svc:29520', 'origin-1.origin.default.svc:29520']);
    await expect.poll(() => found.addressesOf('origin-0.origin.default.svc'), WITHIN).toEqual(['10.0.0.9']);
  });

  it('count once where they have addresses of both families, and by IPv6 where they have no others', async () => {
    await place('IPv6', { addresses: ['fd00::1'] });
    const found = await follow();
    await expect.poll(() => found.current, WITHIN).toEqual(['[fd00::1]:29520']);
    await place('IPv4', { addresses: ['10.0.0.1'] });
    await expect.poll(() => found.current, WITHIN).toEqual(['10.0.0.1:29520']);
  });

  it('stay known while the API server is away, and when nobody is left', async () => {
    await place('IPv4', { addresses: ['10.0.0.1'] });
    const found = await follow();
    await expect.poll(() => found.current, WITHIN).toEqual(['10.0.0.1:29520']);
    await cluster.plane.killApiServer();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(found.current).toEqual(['10.0.0.1:29520']);
    await cluster.plane.startApiServer();
    await place('IPv4');
    await place('IPv4', { addresses: ['10.0.0.7'] });
    await expect.poll(() => found.current, { timeout: 20_000 }).toEqual(['10.0.0.7:29520']);
  });

  it('are not looked for where nothing names them: Kubernetes’ client is not even loaded', async () => {
    const running = new AsyncDisposableStack();
    const logger = createLogger('test', { level: 'silent' });
    expect(await endpointsWatcherFor(['dns+origin.default.svc:1'], { logger }, running)).toBeUndefined();
  });
});

const KUBERNETES = {
  enabled: true,
  agentService: 'shoal-agent',
  lease: 'shoal-tracker',
  startupTaint: false,
  zoneLabel: 'zone',
  regionLabel: 'region',
  rackLabel: 'rack',
};

/** An agent on loopback that says it is on that node, and has all troubles. @returns where the tracker says it is. */
async function placesTold(address: string, node: string): Promise<object[]> {
  const dispatcher = new Agent();
  onTestFinished(() => dispatcher.destroy());
  const places: object[] = [];
  const announcer = new Announcer(
    {
      dispatcher,
      trackers: fixedMembers([address]),
      secure: false,
      onPlace: (told) => places.push(told),
      troubles: () => ['store-full', 'mirror-missing', 'upstream-denies'],
      random: Math.random,
      now: () => performance.now(),
      logger: createLogger('test', { level: 'silent' }),
    },
    { peerId: 'a'.repeat(40), role: 'agent', port: 1, topology: { node } },
  );
  onTestFinished(() => announcer[Symbol.asyncDispose]());
  announcer.join('b'.repeat(40), { complete: false, want: 1 }, () => undefined);
  return places;
}

const EVENTS = ['ShoalMirrorNotConfigured', 'ShoalStoreFull', 'ShoalUpstreamDenies'];

describe('a tracker in Kubernetes', () => {
  it('tells a member where its node’s labels say it is, and whoever runs the cluster of its troubles', async () => {
    const metadata = { labels: { zone: 'a', region: 'eu' } };
    await cluster.ask('POST', '/api/v1/nodes', object('v1', 'Node', 'node1', { metadata }));
    await using tracker = await runTracker({ kubernetes: KUBERNETES });
    const places = await placesTold(tracker.running.address, 'node1');
    await expect.poll(() => places).toEqual([{ zone: 'a', region: 'eu' }]);
    await expect.poll(() => tracker.metric('leads')).toBe(1);
    await expect.poll(() => eventsOf('node1')).toEqual(EVENTS);
  });

  it('takes nobody’s word who calls from a node’s address to be on another', async () => {
    await cluster.ask('POST', '/api/v1/nodes', object('v1', 'Node', 'victim', {}));
    await cluster.ask(
      'POST',
      '/api/v1/nodes',
      object('v1', 'Node', 'liar', { metadata: { labels: { zone: 'b' } } }),
    );
    const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }];
    await cluster.ask('PATCH', '/api/v1/nodes/liar/status', { status: { addresses } });
    await using tracker = await runTracker({ kubernetes: KUBERNETES });
    const places = await placesTold(tracker.running.address, 'victim');
    await expect.poll(() => places).toEqual([{ zone: 'b' }]);
    await expect.poll(() => eventsOf('liar')).toEqual(EVENTS);
    expect(await eventsOf('victim')).toEqual([]);
  });
});

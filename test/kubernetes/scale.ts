import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';

import { connectKubernetes } from '#kubernetes/api.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';

import { spawnShoal } from '../support/spawn-shoal.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../runtimes/program.ts';
import { ControlPlane, COUNTED_TOKEN } from './control-plane.ts';

/**
 * What a tracker in Kubernetes costs at so many nodes: `node test/kubernetes/scale.ts --nodes 1000`. A real etcd, API server
 * and tracker; nodes and agents exist in the API alone, and one server on loopback answers for all agents. Root: it
 * moves into a network namespace of its own, in which all addresses of the agents are local.
 */
const { values } = parseArgs({
  options: { nodes: { type: 'string', default: '1000' }, inside: { type: 'boolean' } },
});
const AGENTS_NET = '10.1.0.0/16';
const AGENT_PORT = 29_503;
const ENDPOINTS_PER_SLICE = 100;
const PARALLEL = 16;

if (values.inside === true) await measure(Number(values.nodes));
else moveInside();

function moveInside(): void {
  const command = [process.execPath, import.meta.filename, '--inside', '--nodes', values.nodes];
  const setUp = `ip link set lo up && ip route add local ${AGENTS_NET} dev lo && exec "$@"`;
  execFileSync('unshare', ['--net', 'sh', '-c', setUp, 'sh', ...command], { stdio: 'inherit' });
}

async function measure(nodes: number): Promise<void> {
  await using directory = await temporaryDirectory('scale');
  await using plane = await ControlPlane.start();
  await using api = await connectKubernetes(await plane.kubeconfig());
  await defineResource(api);
  await using _agents = await answerForAgents();
  const kubeconfig = directory.join('kubeconfig');
  await writeFile(kubeconfig, await plane.kubeconfig(COUNTED_TOKEN), { mode: 0o600 });
  await using tracker = await spawnShoal(['tracker'], {
    config: {
      security: 'off',
      listen: '127.0.0.1:29510',
      status: { listen: '127.0.0.1:29511' },
      kubernetes: { enabled: true, startupTaint: true },
    },
    // As in a container with a limit: else how much it takes says only how much the machine has.
    env: { KUBECONFIG: kubeconfig, NODE_OPTIONS: '--max-old-space-size=96' },
    readyUrl: 'http://127.0.0.1:29511/readyz',
  });
  await eventually('the tracker leads', async () => (await metric('shoal_tracker_leads')) === 1 || undefined);
  const report = async (what: string, since: number): Promise<void> => {
    const rss = /VmRSS:\s+(\d+)/u.exec(await readFile(`/proc/${tracker.pid}/status`, 'utf8'))?.[1] ?? '0';
    const seconds = Math.round((performance.now() - since) / 1000);
    console.log(`${what}: ${seconds} s, tracker ${Math.round(Number(rss) / 1024)} MiB`);
  };
  let since = performance.now();
  await report('no nodes', since);
  await addNodes(api, nodes);
  await report(`${nodes} nodes made`, since);
  const before = await plane.countedRequests();
  since = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 30_000));
  await report(`at rest, ${(await plane.countedRequests()) - before} requests to the API server`, since);
  let rounds = 0;
  for (const images of [1, 4, 4]) {
    const asked = await plane.countedRequests();
    since = performance.now();
    await preheat(api, `scale-${rounds++}`, images);
    const cost = (await plane.countedRequests()) - asked;
    await report(`preheat of ${images} images on ${nodes} nodes, ${cost} requests to the API server`, since);
  }
}

function ask(api: KubernetesApi, method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
  return api.ask({ method, path, ...(body && { body }) }, AbortSignal.timeout(20_000));
}

async function defineResource(api: KubernetesApi): Promise<void> {
  const file = join(import.meta.dirname, '../../charts/shoal/crds/imagepreheats.yaml');
  const definition: object = parse(await readFile(file, 'utf8'));
  await ask(api, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
  await eventually('ImagePreheats are served', () =>
    ask(api, 'GET', '/apis/shoal.dev/v1alpha1/namespaces/default/imagepreheats').catch(() => undefined),
  );
}

/** Every agent needs three questions for an image, as one that fetches for three seconds. */
async function answerForAgents(): Promise<AsyncDisposable> {
  const asked = new Map<string, number>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { image }: { image: string } = JSON.parse(Buffer.concat(chunks).toString('utf8'));
      const key = `${request.headers.host} ${image.split('@')[0]}`;
      asked.set(key, (asked.get(key) ?? 0) + 1);
      const state = asked.get(key)! > 3 ? 'warm' : 'fetching';
      response.end(JSON.stringify({ state, digest: `sha256:${'a'.repeat(64)}` }));
    });
  });
  server.listen(AGENT_PORT, '0.0.0.0');
  await once(server, 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function addNodes(api: KubernetesApi, count: number): Promise<void> {
  const indices = Array.from({ length: count }, (_, index) => index).values();
  const work = async (): Promise<void> => {
    for (const index of indices) {
      const name = `node-${index}`;
      const labels = { 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', zone: `z${index % 3}` };
      await ask(api, 'POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  for (let first = 0; first < count; first += ENDPOINTS_PER_SLICE) {
    const size = Math.min(ENDPOINTS_PER_SLICE, count - first);
    const endpoints = Array.from({ length: size }, (_, index) => ({
      addresses: [`10.1.${Math.floor((first + index) / 250)}.${((first + index) % 250) + 1}`],
      nodeName: `node-${first + index}`,
      conditions: { ready: true },
    }));
    await ask(api, 'POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `agents-${first}`, labels: { 'kubernetes.io/service-name': 'shoal-agent' } },
      addressType: 'IPv4',
      ports: [{ name: 'members', port: AGENT_PORT, protocol: 'TCP' }],
      endpoints,
    });
  }
}

async function preheat(api: KubernetesApi, name: string, images: number): Promise<void> {
  const path = '/apis/shoal.dev/v1alpha1/namespaces/default/imagepreheats';
  const spec = {
    images: Array.from({ length: images }, (_, index) => `app-${name}-${index}`),
    concurrency: 200,
  };
  await ask(api, 'POST', path, {
    apiVersion: 'shoal.dev/v1alpha1',
    kind: 'ImagePreheat',
    metadata: { name },
    spec,
  });
  // Not by asking the API server again and again: that would be counted too.
  await eventually(
    'the preheat runs',
    async () => (await metric('shoal_tracker_preheats')) === 1 || undefined,
  );
  await eventually(
    'the preheat is over',
    async () => (await metric('shoal_tracker_preheats')) === 0 || undefined,
    600_000,
  );
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch('http://127.0.0.1:29511/metrics')).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? Number.NaN);
}

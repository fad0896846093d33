import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';

import { eventually } from '../../runtimes/program.ts';
import { part } from '../api/cluster.ts';
import type { Node } from './node.ts';
import { CERTS } from './node-files.ts';
import { isReady, type Rig } from './rig.ts';
import { killPods, podsOf, rolledOut } from './shoal.ts';
import { readersOf } from './upstream.ts';
import { createDaemonSet, daemonSetStarts, deleteDaemonSet, podRuns } from './workloads.ts';

const LAYERS = [24_000_000, 8_000_000];
/** So that a pull is under way for seconds. */
const RATE = 8_000_000;
const UNDER_WAY_MS = 1500;
const NODE_BACK_MS = 90_000;

/** SIGKILL to the container's process; its pod stays, and its kubelet starts it again. */
async function killContainer({ ask }: Rig, node: Node, pod: string, container: string): Promise<void> {
  const statuses = part(
    await ask('GET', `/api/v1/namespaces/shoal/pods/${pod}`),
    'status',
    'containerStatuses',
  );
  const found = Array.isArray(statuses)
    ? statuses.find((each) => part(each, 'name') === container)
    : undefined;
  const id = String(part(found, 'containerID')).replace('containerd://', '');
  await node.ctr('tasks', 'kill', '--signal=SIGKILL', id);
}

/** What nodes have of images, so that it must be pulled again. */
async function forgetImages({ nodes }: Rig, references: readonly string[]): Promise<void> {
  for (const node of nodes) {
    const listed = await node.ctr('images', 'ls', '-q');
    const named = listed
      .split('\n')
      .filter((name) => references.some((of) => name.startsWith(of.split(':')[0]!)));
    if (named.length > 0) await node.ctr('images', 'rm', '--sync', ...named);
  }
}

export function faults(cluster: () => Rig): void {
  test('an agent is killed: a pod starts at once, its image straight from the registry', async () => {
    const rig = cluster();
    const node = rig.nodes[0]!;
    const { reference } = await rig.upstreams.public.push({
      repository: 'team/no-agent',
      layers: [1_000_000],
    });
    const [pod] = await podsOf(rig, 'agent', node);
    await killContainer(rig, node, pod!.name, 'agent');
    const started = await podRuns(rig, { name: 'no-agent', image: reference, node: node.name });
    expect(readersOf(rig.upstreams.public, 'team/no-agent')).toEqual(['containerd']);
    console.log(`without its agent: ${started.pulled}`);
    await rolledOut(rig);
  });

  test('the API server is gone: what a node pulls comes through Shoal all the same', async () => {
    const { plane, nodes, upstreams } = cluster();
    const { reference } = await upstreams.public.push({ repository: 'team/no-api', layers: LAYERS });
    await plane.killApiServer();
    try {
      await nodes[0]!.ctr('images', 'pull', `--hosts-dir=${CERTS}`, reference);
    } finally {
      await plane.startApiServer();
    }
    expect(readersOf(upstreams.public, 'team/no-api')).toEqual(['shoal']);
  });

  test.each(['tracker', 'origin', 'agent'])(
    'every %s is killed in the middle of a pull: pods start',
    async (component) => {
      const rig = cluster();
      const { public: upstream } = rig.upstreams;
      const name = `no-${component}s`;
      const { image, reference } = await upstream.push({ repository: `team/${name}`, layers: LAYERS });
      upstream.link.rate = RATE;
      await createDaemonSet(rig, { name, image: reference });
      await sleep(UNDER_WAY_MS);
      await killPods(rig, component);
      const started = await daemonSetStarts(rig, name);
      upstream.link.rate = undefined;
      expect(started.map(({ digest }) => digest)).toEqual(rig.nodes.map(() => image.index.digest));
      await deleteDaemonSet(rig, name);
      await rolledOut(rig);
    },
  );

  test('a node crashes in the middle of a pull and comes back: its agent serves, and its pod starts', async () => {
    const rig = cluster();
    const { public: upstream } = rig.upstreams;
    const node = rig.nodes[2]!;
    const { image, reference } = await upstream.push({ repository: 'team/crash', layers: LAYERS });
    upstream.link.rate = RATE;
    await createDaemonSet(rig, { name: 'crash', image: reference });
    await sleep(UNDER_WAY_MS);
    await node.crash();
    upstream.link.rate = undefined;
    await eventually(
      'the node is missed',
      async () => ((await isReady(rig.ask, node.name)) ? undefined : true),
      NODE_BACK_MS,
    );
    await node.start();
    await eventually('the node is back', () => isReady(rig.ask, node.name), NODE_BACK_MS);
    const started = await daemonSetStarts(rig, 'crash');
    expect(started.map(({ digest }) => digest)).toEqual(rig.nodes.map(() => image.index.digest));
    await deleteDaemonSet(rig, 'crash');
    await rolledOut(rig);
  });

  test('the registries are gone: pods with a public image start, and with a private one pulled before with the same secret', async () => {
    const rig = cluster();
    const node = rig.nodes[0]!.name;
    const { public: open, password } = rig.upstreams;
    const [publicImage, privateImage] = await Promise.all([
      open.push({ repository: 'team/kept', layers: [2_000_000] }),
      password.push({ repository: 'team/kept-private', layers: [2_000_000] }),
    ]);
    const secret = { image: privateImage.reference, node, pullSecret: 'password-right' };
    await podRuns(rig, { name: 'kept-before', image: publicImage.reference, node });
    await podRuns(rig, { ...secret, name: 'kept-private-before' });
    await forgetImages(rig, [publicImage.reference, privateImage.reference]);
    await Promise.all([open.link.break(), password.link.break()]);
    try {
      const started = await podRuns(rig, { name: 'kept', image: publicImage.reference, node });
      expect(started).toMatchObject({ digest: publicImage.image.index.digest });
      const again = await podRuns(rig, { ...secret, name: 'kept-private' });
      expect(again).toMatchObject({ digest: privateImage.image.index.digest });
      // A node that has never had it gets it from the others.
      const elsewhere = rig.nodes[1]!.name;
      await podRuns(rig, { name: 'kept-elsewhere', image: publicImage.reference, node: elsewhere });
    } finally {
      await Promise.all([open.link.mend(), password.link.mend()]);
    }
  });
}

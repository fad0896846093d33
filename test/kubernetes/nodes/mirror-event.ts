import { expect, test } from 'vitest';

import { part } from '../api/cluster.ts';
import type { Rig } from './rig.ts';
import { killPods, rolledOut } from './shoal.ts';

const MAIN = '/etc/containerd/config.toml';
/** An announce interval, and the start of a pod. */
const TOLD_MS = 60_000;

async function eventsOfNode({ ask }: Rig, name: string): Promise<string[]> {
  const selector = encodeURIComponent(`involvedObject.kind=Node,involvedObject.name=${name}`);
  const items = part(
    await ask('GET', `/api/v1/namespaces/default/events?fieldSelector=${selector}`),
    'items',
  );
  return Array.isArray(items) ? items.map((item) => String(part(item, 'reason'))) : [];
}

export function mirrorEvent(cluster: () => Rig): void {
  test('a node whose runtime looks for no mirrors has an Event that says so', async () => {
    const rig = cluster();
    const [first, , node] = rig.nodes;
    await node!.exec(['sed', '--in-place=.kept', 's/config_path = .*/config_path = ""/', MAIN]);
    try {
      await killPods(rig, 'agent');
      await expect
        .poll(() => eventsOfNode(rig, node!.name), { timeout: TOLD_MS })
        .toContain('ShoalMirrorNotConfigured');
    } finally {
      await node!.exec(['mv', `${MAIN}.kept`, MAIN]);
    }
    expect(await eventsOfNode(rig, first!.name)).not.toContain('ShoalMirrorNotConfigured');
    await killPods(rig, 'agent');
    await rolledOut(rig);
  });
}

import { readdir } from 'node:fs/promises';
import { expect, test } from 'vitest';

import { configurationsBefore } from './installation.ts';
import { MACHINE } from './network.ts';
import type { Rig } from './rig.ts';
import { CHART, rolledOut, runtimeConfigurations } from './shoal.ts';

const STORE = '/var/lib/shoal/agent';

/** What Shoal's store on each node holds. */
function stored({ nodes }: Rig): Promise<string[][]> {
  return Promise.all(nodes.map((node) => readdir(node.path(STORE))));
}

export function cleanUp(cluster: () => Rig): void {
  test('an end without a trace: after a clean-up and an uninstall the nodes have nothing of Shoal', async () => {
    const rig = cluster();
    const release = ['shoal', CHART, '--namespace=shoal'];
    // What an earlier release has cached is still there, as documented.
    for (const names of await stored(rig)) expect(names).toContain('v1');
    await rig.helm('install', ...release, `--set=image.repository=${MACHINE.publicRegistry}/shoal`);
    await rolledOut(rig);
    await rig.helm('upgrade', ...release, '--reuse-values', '--set=cleanUp.enabled=true');
    await rig.kubectl('--namespace=shoal', 'rollout', 'status', 'daemonset/shoal-clean-up', '--timeout=120s');
    expect(await stored(rig)).toEqual([[], [], []]);
    expect(await runtimeConfigurations(rig)).toEqual(configurationsBefore());
    await rig.helm('uninstall', 'shoal', '--namespace=shoal', '--wait');
  });
}

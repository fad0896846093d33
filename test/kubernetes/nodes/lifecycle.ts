import { expect, test } from 'vitest';

import { configurationsBefore } from './installation.ts';
import type { Rig } from './rig.ts';
import { CHART, rolledOut, runtimeConfigurations } from './shoal.ts';
import { podRuns } from './workloads.ts';

/** Runs pods of a new image each, one after the other on all nodes in turn, while something goes on. @returns how many ran. */
async function podsRunMeanwhile(rig: Rig, name: string, change: () => Promise<unknown>): Promise<number> {
  const isOver = { now: false };
  const changing = change().finally(() => (isOver.now = true));
  let ran = 0;
  // Whatever fails here, the change must not go on beside the next test.
  try {
    for (; !isOver.now; ran += 1) {
      const tag = `v${ran}`;
      const { reference, image } = await rig.upstreams.public.push({
        repository: `team/${name}`,
        layers: [600_000 + ran],
        tag,
      });
      const node = rig.nodes[ran % rig.nodes.length]!.name;
      const started = await podRuns(rig, { name: `${name}-${ran}`, image: reference, node });
      expect(started.digest).toBe(image.index.digest);
    }
  } finally {
    await changing;
  }
  return ran;
}

export function lifecycle(cluster: () => Rig): void {
  test.each([
    [
      'upgrade',
      (rig: Rig) =>
        rig.helm(
          'upgrade',
          'shoal',
          CHART,
          '--namespace=shoal',
          '--reuse-values',
          '--set=agent.config.log.level=debug,origin.config.log.level=debug,tracker.config.log.level=debug',
        ),
    ],
    ['rollback', (rig: Rig) => rig.helm('rollback', 'shoal', '--namespace=shoal')],
  ] as const)('pods start all through: %s', async (name, change) => {
    const rig = cluster();
    const ran = await podsRunMeanwhile(rig, name, async () => {
      await change(rig);
      await rolledOut(rig);
    });
    expect(ran).toBeGreaterThan(0);
    console.log(`${name}: ${ran} pods started meanwhile`);
  });

  test('uninstall: pods start, and containerd’s directory is byte for byte what it was on every node', async () => {
    const rig = cluster();
    const ran = await podsRunMeanwhile(rig, 'uninstall', () =>
      rig.helm('uninstall', 'shoal', '--namespace=shoal', '--wait'),
    );
    console.log(`uninstall: ${ran} pods started meanwhile`);
    await expect.poll(() => runtimeConfigurations(rig), { timeout: 60_000 }).toEqual(configurationsBefore());
    const { reference } = await rig.upstreams.public.push({ repository: 'team/after', layers: [500_000] });
    for (const { name } of rig.nodes)
      await podRuns(rig, { name: `after-${name}`, image: reference, node: name });
  });
}

import { round } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, MIB, pullBothWays, warmAndShape } from './stage.ts';

/** What moving bytes costs: from the origin (by TLS) to one agent, nothing shaped. */
export const oneToOne: Scenario = {
  name: 'one-to-one',
  summary: 'from the origin to one agent',
  defaults: { nodes: 1, rateMbit: undefined, sizeMib: 1024 },
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    await warmAndShape(rig, order, options, context);
    const first = rig.agents.slice(0, 1);
    const { measured, direct } = await pullBothWays(
      { rig, agents: first, order },
      () => undefined,
      options,
      context,
    );
    const { account } = measured;
    const both = account.spent('agent').cpuSeconds + account.spent('origin').cpuSeconds;
    const extra = { bothEndsCpuSecondsPerGiB: round((both * 1024) / options.sizeMib) };
    return { bytes, measured, direct, extra };
  },
};

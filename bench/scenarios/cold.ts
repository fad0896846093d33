import { lowerBound } from '../lower-bound.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, linkOf, MIB, pullBothWays } from './stage.ts';

/** All agents want at once what nobody in the cluster has; the upstream registry's link is as wide as theirs. */
export const cold: Scenario = {
  name: 'cold',
  summary: 'all at once, nobody has it; upstream at the same rate',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 256 },
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    const link = linkOf(options.rateMbit);
    await rig.shape(() => link);
    const bound = link && lowerBound(bytes, link, Array<typeof link>(options.nodes).fill(link));
    const { measured, direct } = await pullBothWays({ rig, order }, () => bound, options, context);
    return { bytes, measured, direct };
  },
};

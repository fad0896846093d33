import { lowerBound } from '../lower-bound.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, MIB, pullBothWays, warmAndShape } from './stage.ts';

/** All agents want one blob at once; the origin has it. */
export const flashCrowd: Scenario = {
  name: 'flash-crowd',
  summary: 'all at once, the origin has it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 256 },
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    const link = await warmAndShape(rig, order, options, context);
    const bound = link && lowerBound(bytes, link, Array<typeof link>(options.nodes).fill(link));
    const { measured, direct } = await pullBothWays({ rig, order }, () => bound, options, context);
    return { bytes, measured, direct };
  },
};

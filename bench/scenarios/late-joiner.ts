import { secondsFor } from '../lower-bound.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, linkOf, MIB, pullAll, pullBothWays } from './stage.ts';

/** All but one agent have it, and so has the origin; then the last one wants it. Only its pull is measured. */
export const lateJoiner: Scenario = {
  name: 'late-joiner',
  summary: 'one more, all others have it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 256 },
  leastNodes: 2,
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    const late = rig.agents.slice(-1);
    context.say('all but one pull, not shaped');
    await pullAll(
      rig.agents.slice(0, -1),
      (agent) => rig.pull(agent, order),
      () => undefined,
    );
    const link = linkOf(options.rateMbit);
    await rig.shape(() => link);
    const bound = link && secondsFor(bytes, link.downMbit);
    const { measured, direct } = await pullBothWays(
      { rig, agents: late, order },
      () => bound,
      options,
      context,
    );
    return { bytes, measured, direct };
  },
};

import { lowerBound } from '../lower-bound.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, linkOf, MIB, pullAll, runDirect } from './stage.ts';

/** All agents want one blob at once; the origin has it. */
export const flashCrowd: Scenario = {
  name: 'flash-crowd',
  summary: 'all at once, the origin has it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 256 },
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    context.say('warming the origin');
    await rig.warm(order);
    const link = linkOf(options.rateMbit);
    await rig.shape(() => link);
    const bound = link && lowerBound(bytes, link, Array<typeof link>(options.nodes).fill(link));
    context.say('all pull');
    const measured = await rig.measure(() =>
      pullAll(
        rig.agents,
        (agent) => rig.pull(agent, order),
        () => bound,
      ),
    );
    const direct = await runDirect(rig, options, context, () =>
      pullAll(
        rig.agents,
        (agent) => rig.pullDirectly(agent, order),
        () => undefined,
      ),
    );
    return { bytes, measured, direct };
  },
};

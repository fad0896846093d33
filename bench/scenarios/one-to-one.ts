import { round } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, linkOf, MIB, pullAll, runDirect } from './stage.ts';

/** What moving bytes costs: from the origin (by TLS) to one agent, nothing shaped. */
export const oneToOne: Scenario = {
  name: 'one-to-one',
  summary: 'from the origin to one agent',
  defaults: { nodes: 1, rateMbit: undefined, sizeMib: 1024 },
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    context.say('warming the origin');
    await rig.warm(order);
    const link = linkOf(options.rateMbit);
    await rig.shape(() => link);
    const first = rig.agents.slice(0, 1);
    context.say('one pulls');
    const measured = await rig.measure(() =>
      pullAll(
        first,
        (agent) => rig.pull(agent, order),
        () => undefined,
      ),
    );
    const { account } = measured;
    const both = account.spent('agent').cpuSeconds + account.spent('origin').cpuSeconds;
    const direct = await runDirect(rig, options, context, () =>
      pullAll(
        first,
        (agent) => rig.pullDirectly(agent, order),
        () => undefined,
      ),
    );
    const extra = { bothEndsCpuSecondsPerGiB: round((both * 1024) / options.sizeMib) };
    return { bytes, measured, direct, extra };
  },
};

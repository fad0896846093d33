import { secondsFor } from '../lower-bound.ts';
import type { Part } from '../rig/part.ts';
import type { PullReport } from '../rig/pull.ts';
import type { Pulled, Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, MIB, pullAll, runDirect, warmAndShape } from './stage.ts';

const PART = 0.2;

/** A rolling update: a fifth of the agents at a time, the next when these have it; the origin has it. */
export const rolling: Scenario = {
  name: 'rolling',
  summary: '20 % at a time, the origin has it',
  defaults: { nodes: 10, rateMbit: 100, sizeMib: 128 },
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    const link = await warmAndShape(rig, order, options, context);
    const bound = link && secondsFor(bytes, link.downMbit);
    context.say('wave after wave pulls');
    const measured = await rig.measure(() => inWaves(rig.agents, (agent) => rig.pull(agent, order), bound));
    const direct = await runDirect(rig, options, context, () =>
      inWaves(rig.agents, (agent) => rig.pullDirectly(agent, order), undefined),
    );
    return { bytes, measured, direct };
  },
};

async function inWaves(
  agents: readonly Part[],
  pull: (agent: Part) => Promise<PullReport>,
  bound: number | undefined,
): Promise<Pulled[]> {
  const size = Math.ceil(agents.length * PART);
  const pulls: Pulled[] = [];
  for (let first = 0; first < agents.length; first += size) {
    pulls.push(...(await pullAll(agents.slice(first, first + size), pull, () => bound)));
  }
  return pulls;
}

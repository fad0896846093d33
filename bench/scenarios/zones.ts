import { lowerBound, secondsFor } from '../lower-bound.ts';
import { round } from '../result.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, linkOf, MIB, pullBothWays } from './stage.ts';

/** The trunk between the zones ÷ a host's link. */
const THIN = 0.5;

/** Two zones, half of the agents in each, the rest in the first; a thin link joins them, half as wide as a host's. */
export const zones: Scenario = {
  name: 'zones',
  summary: 'two zones behind a link half as wide as a host’s, all at once, the origin has it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 128 },
  leastNodes: 2,
  async run(options, context) {
    const { nodes, rateMbit } = options;
    const bytes = options.sizeMib * MIB;
    const near = Math.ceil(nodes / 2);
    const trunkMbit = rateMbit && Math.max(1, Math.round(rateMbit * THIN));
    await using rig = await buildRig(options, context, {
      fill: fillWithOne(options),
      zones: 2,
      trunkMbit,
      zoneOf: (agent) => (agent < near ? 0 : 1),
    });
    const order = blobOrder(...rig.content.blobs);
    context.say('warming the origin');
    await rig.warm(order);
    const link = linkOf(rateMbit);
    await rig.shape(() => link);
    const nearBound = link && lowerBound(bytes, link, Array<typeof link>(near).fill(link));
    const farBound = trunkMbit && Math.max(nearBound ?? 0, secondsFor(bytes, trunkMbit));
    const nearNames = new Set(rig.agents.slice(0, near).map(({ name }) => name));
    const { measured, direct } = await pullBothWays(
      { rig, order },
      ({ name }) => (nearNames.has(name) ? nearBound : farBound),
      options,
      context,
    );
    const extra = { trunkMbit: trunkMbit ?? null, crossZoneOverF: round(measured.trunkBytes / bytes) };
    return { bytes, measured, direct, extra };
  },
};

import { secondsFor } from '../lower-bound.ts';
import { round } from '../result.ts';
import type { Part } from '../rig/part.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, fillWithOne, linkOf, MIB, pullBothWays } from './stage.ts';

/** The fastest link ÷ the slowest. */
const SPREAD = 10;

/**
 * Links of 100 to 1,000 Mbit/s (the rate asked for, and ten times that), in geometric steps; origin and upstream have
 * the fastest. An agent's own bound is that of its link: the fast ones must not wait for the slow ones.
 */
export const unequal: Scenario = {
  name: 'unequal',
  summary: 'links from the rate to ten times the rate, all at once, the origin has it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 128 },
  leastNodes: 2,
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    context.say('warming the origin');
    await rig.warm(order);
    const { rateMbit, nodes } = options;
    const rates = new Map(
      rig.agents.map(({ name }, index) => [
        name,
        rateMbit && Math.round(rateMbit * SPREAD ** (index / (nodes - 1))),
      ]),
    );
    const fastest = rateMbit && rateMbit * SPREAD;
    const rateOf = (name: string): number | undefined => rates.get(name) ?? fastest;
    await rig.shape(({ name }) => linkOf(rateOf(name)));
    const boundOf = ({ name }: Part): number | undefined => {
      const rate = rateOf(name);
      return rate && secondsFor(bytes, rate);
    };
    const { measured, direct } = await pullBothWays({ rig, order }, boundOf, options, context);
    const own = measured.result.map(({ agent, report, boundSeconds }) => ({
      agent,
      rateMbit: rateOf(agent) ?? null,
      seconds: round(report.seconds),
      boundSeconds: boundSeconds === undefined ? null : round(boundSeconds),
    }));
    return { bytes, measured, direct, extra: { agents: own } };
  },
};

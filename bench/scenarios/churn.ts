import { setTimeout as sleep } from 'node:timers/promises';
import { type Link, lowerBound } from '../lower-bound.ts';
import type { Account } from '../rig/account.ts';
import type { Part } from '../rig/part.ts';
import type { Order, Rig } from '../rig/rig.ts';
import type { Pulled, Scenario } from '../scenario.ts';
import {
  blobOrder,
  buildRig,
  fillWithOne,
  MIB,
  pullAll,
  pullDirectly,
  runDirect,
  warmAndShape,
} from './stage.ts';

const PART = 0.25;
/** Not shaped there is no bound whose half could be the middle. */
const UNSHAPED_MIDDLE_MS = 500;

/** A quarter of the agents is killed midway and replaced by new ones; the origin has it. */
export const churn: Scenario = {
  name: 'churn',
  summary: 'a quarter of the agents killed and replaced midway, the origin has it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 256 },
  leastNodes: 2,
  async run(options, context) {
    const bytes = options.sizeMib * MIB;
    await using rig = await buildRig(options, context, { fill: fillWithOne(options) });
    const order = blobOrder(...rig.content.blobs);
    const link = await warmAndShape(rig, order, options, context);
    const bound = link && lowerBound(bytes, link, Array<typeof link>(options.nodes).fill(link));
    const count = Math.max(1, Math.round(options.nodes * PART));
    const doomed = rig.agents.slice(0, count);
    const staying = rig.agents.slice(count);
    context.say('all pull');
    const measured = await rig.measure(async (account) => {
      const lost = Promise.allSettled(doomed.map((agent) => rig.pull(agent, order)));
      const kept = pullAll(
        staying,
        (agent) => rig.pull(agent, order),
        () => bound,
      );
      const replaced = replace(rig, { doomed, account, link, order, bound }, context.say);
      const pulls = await Promise.all([kept, replaced]);
      await lost;
      return pulls.flat();
    });
    const direct = await runDirect(rig, options, context, () => pullDirectly(rig, staying, order));
    return { bytes, measured, direct, extra: { replaced: count } };
  },
};

interface Replacement {
  readonly doomed: readonly Part[];
  readonly account: Account;
  readonly link: Link | undefined;
  readonly order: Order;
  readonly bound: number | undefined;
}

async function replace(
  rig: Rig,
  { doomed, account, link, order, bound }: Replacement,
  say: (text: string) => void,
): Promise<Pulled[]> {
  const middle = bound === undefined ? UNSHAPED_MIDDLE_MS : (bound * 1000) / 2;
  await sleep(middle, undefined, { signal: rig.signal });
  say(`${doomed.length} are killed`);
  await Promise.all(
    doomed.map(async (agent) => {
      await account.close(agent, rig.signal);
      await rig.remove(agent);
    }),
  );
  return Promise.all(
    doomed.map(async () => {
      const agent = await rig.addAgent();
      await agent.host.shape(link);
      await account.enter(agent, rig.signal);
      return { agent: agent.name, report: await rig.pull(agent, order), boundSeconds: bound };
    }),
  );
}

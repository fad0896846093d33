import { percentile, round } from '../result.ts';
import type { Blob } from '../rig/content.ts';
import type { PullReport } from '../rig/pull.ts';
import type { Order } from '../rig/rig.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, linkOf, runDirect } from './stage.ts';

const COUNT = 200;
const NEW_COUNT = 50;
const BLOB_BYTES = 64 * 1024;
const MANY = 16;

interface Phase {
  readonly name: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * What one small blob costs at the agent's door: 200 of 64 KiB one after another, then others 16 at a time. The times
 * of the result are those of single blobs, one after another, which the origin has and the agent does not.
 */
export const smallBlobs: Scenario = {
  name: 'small-blobs',
  summary: '200 × 64 KiB in sequence and 16 at a time',
  defaults: { nodes: 2, rateMbit: undefined, sizeMib: 29 },
  leastNodes: 2,
  fixedSize: `${COUNT} × 64 KiB`,
  async run(options, context) {
    const sets: Record<'first' | 'second' | 'fresh', Blob[]> = { first: [], second: [], fresh: [] };
    await using rig = await buildRig(options, context, {
      fill: async (content) => {
        for (const [name, blobs] of Object.entries(sets)) {
          const count = name === 'fresh' ? NEW_COUNT : COUNT;
          while (blobs.length < count)
            blobs.push(await content.addBlob(`${name} ${blobs.length}`, BLOB_BYTES));
        }
      },
    });
    const first = { ...blobOrder(...sets.first), concurrency: 1 };
    const second = { ...blobOrder(...sets.second), concurrency: MANY };
    const fresh = { ...blobOrder(...sets.fresh), concurrency: 1 };
    context.say('warming the origin');
    await rig.warm({ stages: [...first.stages, ...second.stages] });
    await rig.shape(() => linkOf(options.rateMbit));
    const [one, other] = rig.agents;
    const phases: Phase[] = [];
    const through = async (name: string, agent: typeof one, order: Order): Promise<PullReport> => {
      context.say(name);
      const report = await rig.pull(agent!, order);
      phases.push(phaseOf(name, report));
      return report;
    };
    const measured = await rig.measure(async () => {
      const report = await through('the origin has it', one, first);
      await through('cached', one, first);
      await through('a neighbour and the origin have it', other, first);
      await through(`the origin has it, ${MANY} at a time`, one, second);
      await through('nobody has it', one, fresh);
      return [{ agent: one!.name, report, boundSeconds: undefined }];
    });
    const direct = await runDirect(rig, options, context, async () => {
      const report = await rig.pullDirectly(one!, first);
      phases.push(phaseOf('straight', report));
      phases.push(phaseOf(`straight, ${MANY} at a time`, await rig.pullDirectly(one!, second)));
      return [{ agent: one!.name, report, boundSeconds: undefined }];
    });
    const times = measured.result[0]!.report.fetched.map(({ seconds }) => seconds);
    const perBlob = { p50Seconds: round(percentile(times, 0.5)), maxSeconds: round(Math.max(...times)) };
    return { bytes: COUNT * BLOB_BYTES, measured, direct, extra: { ...perBlob, phases } };
  },
};

function phaseOf(name: string, { fetched }: PullReport): Phase {
  const times = fetched.map(({ seconds }) => seconds * 1000);
  return {
    name,
    p50Ms: round(percentile(times, 0.5)),
    p99Ms: round(percentile(times, 0.99)),
    maxMs: round(Math.max(...times)),
  };
}

import { lowerBound } from '../lower-bound.ts';
import type { Content } from '../rig/content.ts';
import type { Scenario } from '../scenario.ts';
import { blobOrder, buildRig, MIB, pullBothWays, warmAndShape } from './stage.ts';

const BLOBS = 50;

/** All agents want the same fifty blobs, all of them at one time: what an agent's memory is then. */
export const manyBlobs: Scenario = {
  name: 'many-blobs',
  summary: `${BLOBS} blobs of the size together, all at once, the origin has them`,
  defaults: { nodes: 4, rateMbit: 200, sizeMib: 512 },
  async run(options, context) {
    const bytes = BLOBS * Math.floor((options.sizeMib * MIB) / BLOBS);
    await using rig = await buildRig(options, context, { fill: (content) => fill(content, bytes / BLOBS) });
    const order = { ...blobOrder(...rig.content.blobs), concurrency: BLOBS };
    const link = await warmAndShape(rig, order, options, context);
    const bound = link && lowerBound(bytes, link, Array<typeof link>(options.nodes).fill(link));
    const { measured, direct } = await pullBothWays({ rig, order }, () => bound, options, context);
    return { bytes, measured, direct };
  },
};

async function fill(content: Content, size: number): Promise<void> {
  for (let index = 0; index < BLOBS; index++) await content.addBlob(`blob ${index}`, size);
}

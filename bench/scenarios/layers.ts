import { lowerBound } from '../lower-bound.ts';
import { REPOSITORY, TAG } from '../rig/defaults.ts';
import type { Content } from '../rig/content.ts';
import type { Order } from '../rig/rig.ts';
import type { Scenario } from '../scenario.ts';
import { blobPath, buildRig, MIB, pullBothWays, warmAndShape } from './stage.ts';

const CONFIG_BYTES = 8 * 1024;
/** Parts of the size asked for, in the order of the manifest. The eighth layer is small enough to go by HTTP. */
const PARTS = [0.06, 0.4, 0.01, 0.25, 0.15, 0.03, 0.1];
const SMALL_LAYER_BYTES = 200 * 1024;

/** An image as containerd pulls it: manifest by tag, configuration, then 8 layers of mixed sizes, three at a time. */
export const layers: Scenario = {
  name: 'layers',
  summary: 'an image of 8 layers of mixed sizes, all at once, the origin has it',
  defaults: { nodes: 8, rateMbit: 100, sizeMib: 256 },
  async run(options, context) {
    await using rig = await buildRig(options, context, {
      fill: (content) => fillWithImage(content, options.sizeMib * MIB),
    });
    const { manifest, blobs } = rig.content;
    const bytes = [manifest!, ...blobs].reduce((sum, { size }) => sum + size, 0);
    const order = imageOrder(rig.content);
    const link = await warmAndShape(rig, order, options, context);
    const bound = link && lowerBound(bytes, link, Array<typeof link>(options.nodes).fill(link));
    const { measured, direct } = await pullBothWays({ rig, order }, () => bound, options, context);
    return { bytes, measured, direct };
  },
};

async function fillWithImage(content: Content, bytes: number): Promise<void> {
  await content.addBlob('config', CONFIG_BYTES);
  for (const [index, part] of PARTS.entries()) {
    await content.addBlob(`layer ${index}`, Math.max(1, Math.round(bytes * part)));
  }
  await content.addBlob('small layer', SMALL_LAYER_BYTES);
  await content.addManifest(TAG);
}

function imageOrder({ manifest, blobs }: Content): Order {
  const [config, ...rest] = blobs.map(({ digest }) => ({ path: blobPath(digest), digest }));
  const top = { path: `/v2/${REPOSITORY}/manifests/${TAG}`, digest: manifest!.digest };
  return { stages: [[top], [config!], rest] };
}

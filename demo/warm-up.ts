import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImage } from './image.ts';
import { pullImage } from './pull-image.ts';
import type { UpstreamRegistry } from './upstream-registry.ts';

const IMAGES = 3;
const LAYER_BYTES = 1e6;
const TAG = 'v1';
/** Small images reach the disks half a second after they were pulled. */
const SETTLE_MS = 1_000;
/** What they take of a disk that they are written to, all of them together. */
export const WARM_UP_BYTES = IMAGES * 2 * LAYER_BYTES;

interface WarmUpParts {
  readonly directory: string;
  readonly registry: UpstreamRegistry;
  /** `http://host:port` of each agent's door. */
  readonly doors: readonly string[];
  readonly signal: AbortSignal;
}

/**
 * All nodes pull small images, one after the other, as nodes that are in use have pulled others before: what a program
 * does for the first time is slow, here and in the parts, and that is not what is to be measured.
 * @returns of each image the longest wait for the first byte of a layer, milliseconds
 */
export async function warmUp({ directory, registry, doors, signal }: WarmUpParts): Promise<number[]> {
  const waits: number[] = [];
  for (let number = 1; number <= IMAGES; number++) {
    const repository = `demo/small-${number}`;
    const dir = join(directory, repository);
    const image = await makeImage({ dir, layers: [LAYER_BYTES], seed: repository, signal });
    await registry.addImage(repository, TAG, image);
    const pulls = doors.map((base) =>
      pullImage({ base, ns: registry.host, repository, reference: TAG, signal }),
    );
    // None is left that still pulls when one has failed.
    await Promise.allSettled(pulls);
    const pulled = await Promise.all(pulls);
    waits.push(Math.max(...pulled.map(({ firstByteMs }) => firstByteMs)));
  }
  await sleep(SETTLE_MS, undefined, { signal });
  return waits;
}

import type { Command } from 'commander';

import { countBuffersAsHeap } from '#cli/buffers-as-heap.ts';
import { registerPart } from '#cli/part.ts';

export function register(program: Command): void {
  registerPart(
    program,
    'origin',
    'Reads blobs once from upstream registries, hashes, signs and seeds them.',
    async () => {
      countBuffersAsHeap();
      return (await import('#origin/origin.ts')).startOrigin;
    },
  );
}

import { setFlagsFromString } from 'node:v8';

import type { Command } from 'commander';

import { registerPart } from '#cli/part.ts';

export function register(program: Command): void {
  registerPart(
    program,
    'origin',
    'Reads blobs once from upstream registries, hashes, signs and seeds them.',
    async () => {
      // Without this flag of Node 26, V8 marks all of the heap after each 10 MiB or so that an upstream has sent.
      setFlagsFromString('--external-memory-accounted-in-global-limit');
      return (await import('#origin/origin.ts')).startOrigin;
    },
  );
}

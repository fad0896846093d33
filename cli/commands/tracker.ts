import type { Command } from 'commander';

import { registerPart } from '#cli/part.ts';

export function register(program: Command): void {
  registerPart(
    program,
    'tracker',
    'Tells agents and origins who else has a blob.',
    async () => (await import('#tracker/tracker.ts')).startTracker,
  );
}

import type { Command } from 'commander';

import { registerPart } from '#cli/part.ts';

export function register(program: Command): void {
  registerPart(
    program,
    'agent',
    'Serves the container runtime of a node as a registry mirror and swaps pieces with other agents.',
    async () => (await import('#agent/agent.ts')).startAgent,
  );
}

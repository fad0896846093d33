import { Option } from 'commander';
import { join } from 'node:path';

import { ADMIN_SOCKET, askAdmin } from '#service/admin-client.ts';

export interface AdminOptions {
  readonly data: string;
}

/** Where the agent keeps its data: its admin socket lies there. */
export function dataOption(): Option {
  return new Option('--data <dir>', "the agent's store.path")
    .env('SHOAL_STORE_PATH')
    .default('/var/lib/shoal/agent');
}

/** How long an agent may take, pruning of a large store included. */
const TIMEOUT_MS = 120_000;

/** Asks the agent on this machine. @throws AdminError */
export function askAgent(
  { data }: AdminOptions,
  ask: { method: string; path: string; body?: unknown },
): Promise<unknown> {
  return askAdmin(join(data, ADMIN_SOCKET), ask, AbortSignal.timeout(TIMEOUT_MS));
}

/** An answer as indented lines, for people. */
export function printAnswer(answer: unknown): void {
  process.stdout.write(`${formatAnswer(answer, '')}\n`);
}

function formatAnswer(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return `${indent}${String(value)}`;
  return Object.entries(value)
    .map(([name, inner]) =>
      typeof inner === 'object' && inner !== null
        ? `${indent}${name}:\n${formatAnswer(inner, `${indent}  `)}`
        : `${indent}${name}: ${String(inner)}`,
    )
    .join('\n');
}

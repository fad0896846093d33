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

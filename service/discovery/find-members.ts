import type { Agent } from 'undici';

import { clusterDispatcher } from '#service/http-client.ts';
import type { Security } from '#service/identity.ts';

import { Discovery, memberLookup } from './discovery.ts';
import type { DiscoveryParts } from './discovery.ts';

export interface FoundMembers {
  readonly trackers: Discovery;
  readonly origins: Discovery;
  /** Connections to both, which prove membership; addresses that discovery knows need no name service. */
  readonly dispatcher: Agent;
}

/** Begins to look for trackers and origins. All of it ends with `starting`. @throws TypeError for a malformed entry */
export async function findMembers(
  config: { readonly trackers: readonly string[]; readonly origins: readonly string[] },
  parts: Omit<DiscoveryParts, 'random'> & { readonly signal: AbortSignal; readonly security: Security },
  starting: AsyncDisposableStack,
): Promise<FoundMembers> {
  const discovering = { ...parts, random: Math.random };
  const [trackers, origins] = await Promise.all([
    Discovery.start('trackers', config.trackers, discovering, parts.signal),
    Discovery.start('origins', config.origins, discovering, parts.signal),
  ]);
  starting.use(trackers);
  starting.use(origins);
  const dispatcher = clusterDispatcher(parts.security, { lookup: memberLookup(trackers, origins) });
  starting.defer(() => dispatcher.destroy());
  return { trackers, origins, dispatcher };
}

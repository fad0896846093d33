import type { Security } from '#service/identity.ts';

/** A cluster with these keys: the first is proved, each of them believed. */
export function withKeys(...keys: Buffer[]): Security {
  return { mode: 'cluster-key', keys: () => keys };
}

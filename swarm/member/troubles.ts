import type { Trouble } from '#swarm/announce/messages.ts';

/** How long something counts after it was last seen. Milliseconds. */
const TROUBLE_MS = 10 * 60_000;

/** Whether there is that trouble now. */
export type TroubleSource = readonly [trouble: Trouble, isThere: () => boolean];

/** What whoever runs the cluster should do something about at this member. */
export function currentTroubles(sources: readonly TroubleSource[]): Trouble[] {
  return sources.filter(([, isThere]) => isThere()).map(([trouble]) => trouble);
}

/**
 * Whether a count has risen within the last ten minutes, as far as it was looked at.
 * @param now milliseconds, monotonic
 */
export function risenLately(count: () => number, now: () => number): () => boolean {
  let last = 0;
  let at = -Infinity;
  return () => {
    const current = count();
    if (current > last) at = now();
    last = current;
    return now() - at < TROUBLE_MS;
  };
}

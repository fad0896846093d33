import type { CompleteBlobs } from './complete-blobs.ts';
import type { PartialBlobs } from './partial-blobs.ts';
import type { Victim } from './room.ts';

/** What to remove; each condition given is applied. None of them touches what is open. */
export interface PrunePolicy {
  /** Everything. */
  readonly all?: boolean;
  /** What was last used longer ago than this, in milliseconds. */
  readonly olderThanMs?: number;
  /** In the order of eviction, until complete and half-done blobs together take no more than this. */
  readonly toBytes?: number;
}

export interface PruneResult {
  /** Complete blobs removed. */
  readonly blobs: number;
  /** Bytes freed, those of half-done blobs included. */
  readonly bytes: number;
  /** Complete blobs that stay for now though the policy names them, because somebody reads or seeds them. */
  readonly inUse: number;
}

export interface PruneParts {
  readonly complete: CompleteBlobs;
  readonly partials: PartialBlobs;
  readonly now: () => number;
  victims(): AsyncIterable<Victim>;
}

/** Removes what the policy says. */
export async function prune(parts: PruneParts, policy: PrunePolicy): Promise<PruneResult> {
  const result = { blobs: 0, bytes: 0, inUse: 0 };
  const remove = async (victim: Victim): Promise<void> => {
    const removed = await victim.remove();
    if (removed?.kind === 'blob') result.blobs += 1;
    result.bytes += removed?.bytes ?? 0;
  };
  const { complete, partials } = parts;
  const before = policy.all
    ? Number.POSITIVE_INFINITY
    : parts.now() - (policy.olderThanMs ?? Number.POSITIVE_INFINITY);
  for (const entry of partials.table.unheld()) {
    if (entry.lastUse < before) await remove({ remove: () => partials.remove(entry) });
  }
  for (const entry of complete.table.unpinned()) {
    if (entry.lastAccess < before) await remove({ remove: () => complete.remove(entry) });
  }
  for (const entry of complete.table.pinned()) if (entry.lastAccess < before) result.inUse += 1;
  const target = policy.toBytes ?? Number.POSITIVE_INFINITY;
  const taken = (): number => complete.table.bytes + partials.table.bytes;
  if (taken() <= target) return result;
  for await (const victim of parts.victims()) {
    await remove(victim);
    if (taken() <= target) break;
  }
  if (taken() > target) result.inUse = [...complete.table.pinned()].length;
  return result;
}

import type { BlobEntry } from './blob-table.ts';
import type { CompleteBlobs } from './complete-blobs.ts';
import { PARTIAL_AGE_MS, REPLICA_CANDIDATES } from './constants.ts';
import type { PartialBlobs } from './partial-blobs.ts';
import type { ReplicaView } from './replica-view.ts';
import type { Victim } from './room.ts';

export interface VictimParts {
  readonly complete: CompleteBlobs;
  readonly partials: PartialBlobs;
  /** Undefined: by last access alone. */
  readonly replicas: ReplicaView | undefined;
  readonly now: () => number;
}

/**
 * What may go, the most dispensable first: half-done blobs that nobody came back for; then the complete ones by last
 * access, of the oldest few those first that others hold; at last the half-done ones of late, which a restarted pull
 * is about to take up. Nothing that is open. Whoever takes a victim removes it before asking for the next.
 */
export async function* victims(parts: VictimParts): AsyncGenerator<Victim> {
  const { partials } = parts;
  const limit = parts.now() - PARTIAL_AGE_MS;
  for (const entry of partials.table.unheld()) {
    if (entry.lastUse > limit) break;
    yield { remove: () => partials.remove(entry) };
  }
  yield* blobVictims(parts);
  for (const entry of partials.table.unheld()) yield { remove: () => partials.remove(entry) };
}

/** The bytes that `victims` would free in all. */
export function evictableBytes({ complete, partials }: Pick<VictimParts, 'complete' | 'partials'>): number {
  let bytes = 0;
  for (const entry of complete.table.unpinned()) bytes += entry.size;
  for (const entry of partials.table.unheld()) bytes += entry.charge;
  return bytes;
}

async function* blobVictims({ complete, replicas }: VictimParts): AsyncGenerator<Victim> {
  for (;;) {
    const oldest = complete.table.unpinned().take(REPLICA_CANDIDATES).toArray();
    if (oldest.length === 0) return;
    for (const entry of await dispensableFirst(oldest, replicas)) {
      yield { remove: () => complete.remove(entry) };
    }
  }
}

async function dispensableFirst(
  oldest: BlobEntry[],
  replicas: ReplicaView | undefined,
): Promise<BlobEntry[]> {
  if (!replicas) return oldest;
  const elsewhere = await replicas.among(oldest.map((entry) => entry.digest));
  return [
    ...oldest.filter((entry) => elsewhere.has(entry.digest)),
    ...oldest.filter((entry) => !elsewhere.has(entry.digest)),
  ];
}

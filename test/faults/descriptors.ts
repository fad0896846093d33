import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Part } from '../../bench/rig/part.ts';

/** Connections that come and go with announces, and keep-alive towards the registry. */
const SLACK = 8;
/** A torrent closes a minute after its last connection, and that half a minute after the last request. */
const SETTLE_MS = 120_000;
const POLL_MS = 1000;

export async function countDescriptors(parts: readonly Part[]): Promise<ReadonlyMap<Part, number>> {
  const counted = parts.map(async (part): Promise<[Part, number]> => {
    const open = await readdir(`/proc/${part.process.child.pid}/fd`);
    return [part, open.length];
  });
  return new Map(await Promise.all(counted));
}

/** Waits until every part has as many descriptors as before, or nearly. @returns those that do not come to that, in words */
export async function findLeaks(before: ReadonlyMap<Part, number>, signal: AbortSignal): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const now = await countDescriptors([...before.keys()]);
    const leaks = [...now].filter(([part, count]) => count > before.get(part)! + SLACK);
    if (leaks.length === 0 || performance.now() > deadline)
      return leaks.map(
        ([part, count]) => `${part.name} had ${before.get(part)} descriptors and has ${count}`,
      );
    await sleep(POLL_MS, undefined, { signal });
  }
}

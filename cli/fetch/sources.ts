import type { Digest } from '#registry/digest.ts';
import { isJsonObject } from '#registry/json-object.ts';

import type { Mirror } from '#registry/mirror.ts';

const SOURCES = ['cache', 'peer', 'origin', 'upstream'] as const;
/** Bytes by where the agent had them from. */
export type Sources = Record<(typeof SOURCES)[number], number>;

export function noSources(): Sources {
  return { cache: 0, peer: 0, origin: 0, upstream: 0 };
}

/** What the agent says of all its pulls of a digest, of late; undefined where it says nothing. Never throws but the signal's reason. */
export async function readSources(
  door: Mirror,
  digest: Digest,
  signal: AbortSignal,
): Promise<Sources | undefined> {
  try {
    const { statusCode, body } = await door.get(`/shoal/v1/sources/${digest}`, signal);
    if (statusCode === 200) return parseSources(await body.json());
    await body.dump();
  } catch {
    signal.throwIfAborted(); // the figure is for show: a pull does not fail for it
  }
  return undefined;
}

function parseSources(value: unknown): Sources | undefined {
  if (!isJsonObject(value)) return undefined;
  const sources = noSources();
  for (const name of SOURCES) {
    const bytes = value[name] ?? 0;
    if (typeof bytes !== 'number' || !(bytes >= 0)) return undefined;
    sources[name] = bytes;
  }
  return sources;
}

export function addSources(sum: Sources, more: Sources): void {
  for (const name of SOURCES) sum[name] += more[name];
}

/** What was added between two answers of the agent; undefined where it had forgotten the first meanwhile. */
export function sourcesSince(before: Sources, after: Sources): Sources | undefined {
  const added = noSources();
  for (const name of SOURCES) added[name] = after[name] - before[name];
  return SOURCES.some((name) => added[name] < 0) ? undefined : added;
}

/** `80 % from peers, 20 % from origin`, together 100 %; undefined where nothing is known. */
export function describeSources(sources: Sources): string | undefined {
  const total = SOURCES.reduce((sum, name) => sum + sources[name], 0);
  if (total === 0) return undefined;
  const named = SOURCES.filter((name) => sources[name] > 0);
  const shares = percentages(named.map((name) => sources[name] / total));
  return named.map((name, index) => `${shares[index]} % from ${name === 'peer' ? 'peers' : name}`).join(', ');
}

/** Shares that sum to 1 as whole percents that sum to 100: rounded down, what is left goes to the largest remainders. */
function percentages(shares: readonly number[]): number[] {
  const exact = shares.map((share) => 100 * share);
  const rounded = exact.map(Math.floor);
  const left = 100 - rounded.reduce((sum, each) => sum + each, 0);
  const byRemainder = exact
    .map((each, index) => ({ index, remainder: each - Math.floor(each) }))
    .toSorted((a, b) => b.remainder - a.remainder);
  for (const { index } of byRemainder.slice(0, left)) rounded[index]! += 1;
  return rounded;
}

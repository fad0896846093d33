import type { Digest } from '#registry/digest.ts';
import { isJsonObject } from '#registry/json-object.ts';

import type { Door } from './door.ts';

const SOURCES = ['cache', 'peer', 'origin', 'upstream'] as const;
/** Bytes by where the agent had them from. */
export type Sources = Record<(typeof SOURCES)[number], number>;

export function noSources(): Sources {
  return { cache: 0, peer: 0, origin: 0, upstream: 0 };
}

/** What the agent says of its last pull of a digest; undefined where it says nothing. Never throws but the signal's reason. */
export async function readSources(
  door: Door,
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

/** `80 % from peers, 20 % from origin`; undefined where nothing is known. */
export function describeSources(sources: Sources): string | undefined {
  const total = SOURCES.reduce((sum, name) => sum + sources[name], 0);
  if (total === 0) return undefined;
  return SOURCES.filter((name) => sources[name] > 0)
    .map((name) => `${Math.round((100 * sources[name]) / total)} % from ${name === 'peer' ? 'peers' : name}`)
    .join(', ');
}

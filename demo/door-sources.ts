import { pullBlob } from './pull-blob.ts';
import type { BytesBySource } from './live-table.ts';

/**
 * What an agent's door says of where the bytes of a digest came from.
 * @throws Error when it does not say
 */
export async function askSources(door: string, digest: string, signal: AbortSignal): Promise<BytesBySource> {
  const { status, complete, head } = await pullBlob(`${door}/shoal/v1/sources/${digest}`, { signal });
  if (status !== 200 || !complete)
    throw new Error(`${door} does not tell the sources of ${digest}: ${status}`);
  const told: Record<string, unknown> = JSON.parse(head.toString('utf8'));
  const bytes = (name: keyof BytesBySource): number => {
    const value = told[name];
    if (typeof value !== 'number') throw new Error(`${door} tells no bytes from ${name} for ${digest}`);
    return value;
  };
  return { cache: bytes('cache'), peer: bytes('peer'), origin: bytes('origin'), upstream: bytes('upstream') };
}

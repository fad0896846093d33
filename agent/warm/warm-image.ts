import { setTimeout as sleep } from 'node:timers/promises';
import type { Digest } from '#registry/digest.ts';
import { findImage } from '#registry/image-search.ts';
import type { Mirror } from '#registry/mirror.ts';
import type { Reference } from '#registry/reference.ts';
import { resultError } from '#registry/upstream-answer.ts';
import { inParallel } from '#service/parallel.ts';
import { WARM_KEEP_INTERVAL_MS, WARM_KEEP_MS, WARM_PARALLEL_BLOBS } from './defaults.ts';

/** Parts of an image that a node must hold: its blobs and what names them. */
export interface ImageParts {
  /** What the reference was resolved to. */
  readonly root: Digest;
  /** Manifests, config and layers, each once. */
  readonly digests: readonly Digest[];
  /** Config and layers. */
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
}

/** The store has no room for a blob that was fetched. */
class NotKeptError extends Error {
  override readonly name = 'NotKeptError';
}

/**
 * Reads an image's blobs through this node's own door, as its runtime would, so that the store holds them after.
 * @param onFound is told what the image is made of, before anything large is read
 * @throws what the door's refusal or the registry's means; NotKeptError; the signal's reason
 */
export async function warmImage(
  mirror: Mirror,
  reference: Reference,
  parts: { holds: (digest: Digest) => boolean; onFound: (found: ImageParts) => void },
  signal: AbortSignal,
): Promise<void> {
  const name = reference.digest ?? reference.tag ?? 'latest';
  const failure = resultError.bind(undefined, reference.registry);
  const { root, digest, image } = await findImage(mirror, { reference: name, failure }, signal);
  const sizes = new Map([image.config, ...image.layers].map((blob) => [blob.digest, blob.size]));
  // Kept for as long as the image is asked for, so without annotations, which may be megabytes.
  const blobs = [...sizes].map(([blob, size]) => ({ digest: blob, size }));
  const digests = [...new Set([root, digest, ...sizes.keys()])];
  parts.onFound({ root, blobs, digests });
  const missing = blobs.filter((blob) => !parts.holds(blob.digest));
  await inParallel(missing, (blob, either) => readThrough(mirror, blob.digest, either), {
    limit: WARM_PARALLEL_BLOBS,
    signal,
  });
  await untilKept(digests, parts.holds, signal);
}

/** The door hands out the last bytes of a blob before the file has its place in the store. */
async function untilKept(
  digests: readonly Digest[],
  holds: (digest: Digest) => boolean,
  signal: AbortSignal,
): Promise<void> {
  for (let waited = 0; ; waited += WARM_KEEP_INTERVAL_MS) {
    const lacking = digests.filter((digest) => !holds(digest));
    if (lacking.length === 0) return;
    if (waited >= WARM_KEEP_MS)
      throw new NotKeptError(
        `${lacking.length} of ${digests.length} manifests and blobs were fetched but not kept: the store has no room`,
      );
    await sleep(WARM_KEEP_INTERVAL_MS, undefined, { signal });
  }
}

/** To its end, since only a whole blob is kept. */
async function readThrough(mirror: Mirror, digest: Digest, signal: AbortSignal): Promise<void> {
  const read = mirror.upstream.readBlob({ ...mirror.target, reference: digest }, mirror.auth, signal);
  for await (const _chunk of read) signal.throwIfAborted();
}

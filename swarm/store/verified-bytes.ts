import { digestAlgorithm, digestOf } from '#registry/digest.ts';
import type { StoredBlob } from './blobs.ts';
import { BlobDamagedError } from './errors.ts';

/** A small blob's bytes, compared with its digest; undefined where it is damaged, and so not in the store any more. */
export async function verifiedBytes(blob: StoredBlob): Promise<Buffer | undefined> {
  const bytes = Buffer.allocUnsafe(blob.size);
  try {
    await blob.read(0, bytes);
  } catch (error) {
    if (error instanceof BlobDamagedError) return undefined;
    throw error;
  }
  if (digestOf(bytes, digestAlgorithm(blob.digest)) === blob.digest) return bytes;
  blob.drop(new BlobDamagedError('the bytes stored do not match the digest'));
  return undefined;
}

import { sha256 } from '#swarm/hashes/sha256.ts';
import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { BlobDamagedError } from '#swarm/store/errors.ts';

/**
 * Compares a piece that a disk gave back with its SHA-256.
 * @param stored the complete blob that it is of, which is dropped then
 * @throws BlobDamagedError
 */
export function comparePiece(
  { index, data, expected }: { index: number; data: Buffer; expected: Buffer },
  stored: Pick<StoredBlob, 'drop'> | undefined,
): void {
  if (sha256(data).equals(expected)) return;
  const damage = new BlobDamagedError(`piece ${index} is not what was stored`);
  stored?.drop(damage);
  throw damage;
}

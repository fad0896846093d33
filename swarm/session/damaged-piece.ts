import type { StoredBlob } from '#swarm/store/blob-store.ts';
import { BlobDamagedError } from '#swarm/store/errors.ts';

/**
 * A disk gave back other bytes than were stored.
 * @param stored the complete blob that the piece is of, which is dropped
 * @throws BlobDamagedError
 */
export function refuseDamaged(index: number, stored: Pick<StoredBlob, 'drop'> | undefined): never {
  const damage = new BlobDamagedError(`piece ${index} is not what was stored`);
  stored?.drop(damage);
  throw damage;
}

/** There is no room: the quota or the disk is full, and nothing that could go is left. The content can still be served on. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError';
}

/** The store, or this handle of it, was asked for something that it cannot do as asked; the message says what. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}

/** A blob's file does not hold, or the disk does not give back, what was stored. */
export class BlobDamagedError extends Error {
  override readonly name = 'BlobDamagedError';
}

/** The operating system's code of an error, such as ENOENT. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** True for a disk, or a user's share of it, that is full. */
export function isDiskFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** True for a path that is not there. */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT';
}

/** True where what was stored is gone for good: its file is missing, is another, or lies where the disk has failed. */
export function isLost(error: unknown): boolean {
  return error instanceof BlobDamagedError || isMissing(error) || errorCode(error) === 'EIO';
}

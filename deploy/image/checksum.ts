import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** In hexadecimal. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** A download is not what `base.json` pins. */
class ChecksumError extends Error {
  override readonly name = 'ChecksumError';
}

/** @throws ChecksumError */
export function expectSame(what: string, found: string, pinned: string): void {
  if (found !== pinned) throw new ChecksumError(`${what} is ${found}, but base.json pins ${pinned}`);
}

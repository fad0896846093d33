import { hash } from 'node:crypto';

/** SHA-256 of a piece or block, 32 bytes. */
export function sha256(data: Uint8Array): Buffer {
  return hash('sha256', data, 'buffer');
}

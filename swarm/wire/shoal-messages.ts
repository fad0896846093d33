import { WireError } from './errors.ts';

/**
 * Names of Shoal's own BEP 10 messages and of BEP 9's.
 * - `hashRequest`: u32 piece index: give me the signed batch that covers this piece
 * - `hashes`: one signed batch, as `openBatch` of swarm/hashes takes it
 * - `want`: u32 piece index, to an origin: hand me this piece now
 */
export const EXTENSION = {
  metadata: 'ut_metadata',
  hashRequest: 'shoal_hash_request',
  hashes: 'shoal_hashes',
  want: 'shoal_want',
} as const;

/** The payload of `shoal_hash_request` and `shoal_want`. */
export function encodePieceIndex(index: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32BE(index, 0);
  return payload;
}

/** @throws WireError where the payload is not one unsigned 32-bit number */
export function decodePieceIndex(payload: Uint8Array): number {
  if (payload.length !== 4) throw new WireError(`a piece index of ${payload.length} bytes, 4 allowed`);
  return Buffer.from(payload.buffer, payload.byteOffset, 4).readUInt32BE(0);
}

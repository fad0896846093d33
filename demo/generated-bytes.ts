import { createCipheriv, createHash } from 'node:crypto';

const CHUNK_BYTES = 256 * 1024;

/**
 * Incompressible bytes that depend on nothing but the seed: the AES-256-CTR key stream under sha256(seed).
 * A longer run of the same seed begins with the shorter one. Memory stays at one chunk.
 */
export function* deterministicChunks(seed: string | number, size: number): Generator<Buffer> {
  const key = createHash('sha256').update(String(seed)).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, size));
  for (let left = size; left > 0; left -= zeros.length) {
    yield cipher.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
  }
}

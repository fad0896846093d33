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

/** The same bytes in one buffer; for sizes that fit in memory. */
export function deterministicBytes(seed: string | number, size: number): Buffer {
  return Buffer.concat([...deterministicChunks(seed, size)], size);
}

/** Lower-case hex. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The OCI digest, `sha256:<hex>`. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${sha256Hex(bytes)}`;
}

/** Reads a stream to its end; keeps nothing but the hash (hex) and the length. */
export async function sha256OfStream(
  stream: AsyncIterable<Uint8Array>,
): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes };
}

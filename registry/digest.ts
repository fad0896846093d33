import { createHash, type Hash } from 'node:crypto';
import { quote } from './redact.ts';

declare const digestBrand: unique symbol;

/** A digest by the OCI image specification, descriptor.md#digests: `sha256:` and 64, or `sha512:` and 128, lower-case hex digits. */
export type Digest = string & { readonly [digestBrand]: true };

export type DigestAlgorithm = 'sha256' | 'sha512';

/** The text is no digest that Shoal can verify. */
export class DigestError extends Error {
  override readonly name = 'DigestError';
}

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/u;
const LONGEST = 'sha512:'.length + 128;

/** True where `parseDigest` would not throw. */
export function isDigest(text: string): text is Digest {
  return text.length <= LONGEST && DIGEST.test(text);
}

/** @throws DigestError */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new DigestError(
    `${quote(text)} is not a digest: sha256: with 64 or sha512: with 128 lower-case hex digits`,
  );
}

/** The digest of bytes held in memory, sha256 unless told. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return finishDigest(algorithm, createHash(algorithm).update(bytes));
}

/** A fresh hash of the digest's algorithm; update it with the content and compare its hex with `digestHex`. */
export function digestHash(digest: Digest): Hash {
  return createHash(digestAlgorithm(digest));
}

/** The digest that a hash has come to. The hash cannot be used again. */
export function finishDigest(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return parseDigest(`${algorithm}:${hash.digest('hex')}`);
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The hex digits after the algorithm. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

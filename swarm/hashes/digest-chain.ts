import { createHash } from 'node:crypto';
import { endianness } from 'node:os';
import { type Digest, digestAlgorithm, type DigestAlgorithm } from '#registry/digest.ts';

/** Where bytes lie in a blob. */
interface Place {
  /** In bytes; a multiple of 128, as the length of the bytes is, unless they are the last. */
  readonly position: number;
  /** Of the blob, in bytes. */
  readonly size: number;
}

/** How a chain goes on from link to link. */
interface Algorithm {
  /** Bytes of a link. */
  readonly width: number;
  /** The initial hash value (FIPS 180-4, 5.3.3 and 5.3.5). */
  readonly start: string;
  /** OpenSSL's `SHA256_CTX` or `SHA512_CTX`, which has no pointers in it. */
  readonly context: Buffer;
  readonly setLength: (context: DataView, bits: number) => void;
  readonly update: (context: Buffer, data: Uint8Array, length: bigint) => number;
  readonly final: (target: Buffer, context: Buffer) => number;
}

/** A function of OpenSSL's failed, or is not what `openssl/sha.h` of its version 3 says. */
class DigestChainError extends Error {
  override readonly name = 'DigestChainError';
}

const IS_LITTLE_ENDIAN = endianness() === 'LE';
const openssl = loadOpenssl();

const ALGORITHMS: Readonly<Record<DigestAlgorithm, Algorithm>> = {
  sha256: {
    width: 32,
    start: '6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19',
    context: Buffer.alloc(112),
    setLength: (context, bits) => {
      context.setUint32(32, bits % 2 ** 32, IS_LITTLE_ENDIAN);
      context.setUint32(36, bits / 2 ** 32, IS_LITTLE_ENDIAN);
    },
    update: openssl.SHA256_Update,
    final: openssl.SHA256_Final,
  },
  sha512: {
    width: 64,
    start:
      '6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1' +
      '510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179',
    context: Buffer.alloc(216),
    setLength: (context, bits) => context.setBigUint64(64, BigInt(bits), IS_LITTLE_ENDIAN),
    update: openssl.SHA512_Update,
    final: openssl.SHA512_Final,
  },
};

/**
 * The chain at whose end a digest stands. SHA-2 takes a message block by block, and its chaining value (H of FIPS 180-4,
 * 6.2.2 and 6.4.2) depends on all that came before: a link is that value at the end of a piece, big-endian, and the last
 * link is the digest. Who knows the links at both ends of a piece can tell whether its bytes are right, whatever the order in which
 * pieces come; once all are, so is the whole. Each byte is hashed once for both.
 *
 * `node:crypto` can neither begin at a chaining value nor tell one, so OpenSSL's functions are called as they are.
 */
export class DigestChain {
  /** Bytes of a link: 32 or 64. */
  readonly width: number;
  /** The link before the first byte. */
  readonly start: Buffer;
  readonly #algorithm: Algorithm;
  readonly #words: DataView;

  constructor(algorithm: DigestAlgorithm) {
    this.#algorithm = ALGORITHMS[algorithm];
    this.width = this.#algorithm.width;
    this.start = Buffer.from(this.#algorithm.start, 'hex');
    const { context } = this.#algorithm;
    this.#words = new DataView(context.buffer, context.byteOffset, context.length);
  }

  /**
   * The link after `data`, which begins at `position`.
   * @param before the link at `position`
   * @throws RangeError where the bytes end within a block of SHA-2 and not with the blob
   */
  next(before: Uint8Array, data: Uint8Array, { position, size }: Place): Buffer {
    const { width, context, setLength, update, final } = this.#algorithm;
    const end = position + data.length;
    if (before.length !== width || end > size || position % 128 > 0 || (end < size && end % 128 > 0))
      throw new RangeError(`no link leads from ${position} to ${end} in a blob of ${size} bytes`);
    context.fill(0);
    context.set(before);
    swapWords(context.subarray(0, width), width);
    setLength(this.#words, position * 8);
    this.#words.setUint32(context.length - 4, width, IS_LITTLE_ENDIAN);
    check(update(context, data, BigInt(data.length)));
    if (end === size) {
      const digest = Buffer.alloc(width);
      check(final(digest, context));
      return digest;
    }
    return swapWords(Buffer.from(context.subarray(0, width)), width);
  }
}

/** The chain of a digest's algorithm. */
export function chainOf(digest: Digest): DigestChain {
  return CHAINS[digestAlgorithm(digest)];
}

const CHAINS: Readonly<Record<DigestAlgorithm, DigestChain>> = {
  sha256: tried('sha256'),
  sha512: tried('sha512'),
};

/** Words of a chaining value between big-endian and this machine's order, in place. */
function swapWords(link: Buffer, width: number): Buffer {
  if (!IS_LITTLE_ENDIAN) return link;
  return width === 32 ? link.swap32() : link.swap64();
}

function check(result: number): void {
  if (result !== 1) throw new DigestChainError('OpenSSL cannot hash');
}

/** Another library than OpenSSL may lay its contexts out in another way. */
function tried(algorithm: DigestAlgorithm): DigestChain {
  const chain = new DigestChain(algorithm);
  const bytes = Buffer.from('shoal'.repeat(100));
  const place = { size: bytes.length };
  const middle = chain.next(chain.start, bytes.subarray(0, 256), { ...place, position: 0 });
  const end = chain.next(middle, bytes.subarray(256), { ...place, position: 256 });
  if (!end.equals(createHash(algorithm).update(bytes).digest()))
    throw new DigestChainError(
      `the OpenSSL of this Node.js (${process.versions.openssl}) is not of version 3`,
    );
  return chain;
}

/** Throws DigestChainError where there is none. */
function loadOpenssl() {
  const update = { arguments: ['buffer', 'buffer', 'uint64'], return: 'int32' } as const;
  const final = { arguments: ['buffer', 'buffer'], return: 'int32' } as const;
  try {
    // OpenSSL is part of the program.
    return withoutWarning(() => process.getBuiltinModule('node:ffi')).dlopen(null, {
      SHA256_Update: update,
      SHA256_Final: final,
      SHA512_Update: update,
      SHA512_Final: final,
    }).functions;
  } catch (cause) {
    throw new DigestChainError(
      `Shoal needs a Node.js of at least 26.1 with OpenSSL and node:ffi; this is ${process.version}`,
      { cause },
    );
  }
}

/** That the module is experimental would be told to every user: the version of Node.js is pinned, and the chain is tried before it is used. */
function withoutWarning<T>(load: () => T): T {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

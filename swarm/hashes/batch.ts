import { isDigest, type Digest } from '#registry/digest.ts';
import { chainOf } from './digest-chain.ts';

/** The scope of content that matched its digest, whoever delivered it. */
export const VERIFIED = 'verified';

/** What tells consecutive pieces of one blob from other bytes, as an origin signs it. */
export interface HashBatch {
  digest: Digest;
  /** `verified`, or the registry that the content came from and that alone the signature speaks for. */
  scope: string;
  /** Of the blob, in bytes. */
  size: number;
  pieceLength: number;
  /** Index of the first piece. */
  first: number;
  /** The links of the digest's chain before the first piece and after each, 32 or 64 bytes each. */
  links: Buffer;
}

export interface OpenedBatch extends HashBatch {
  /** The raw public key that signed it. */
  signer: Buffer;
}

/** An origin's Ed25519 key. */
export interface BatchSigner {
  /** Raw, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** @returns 64 bytes */
  sign(message: Uint8Array): Uint8Array;
}

/** An origin's public key that this process trusts. */
export interface BatchVerifier {
  /** Raw, 32 bytes. */
  readonly raw: Uint8Array;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** A signed batch is malformed, of an unknown signer or not what was signed. */
export class BatchError extends Error {
  override readonly name = 'BatchError';
}

/** Longest run of links, in bytes: with 256 KiB pieces, those of SHA-256 over 1 GiB. */
const MAX_LINK_BYTES = 4097 * 32;
/** Longest signed batch, in bytes. */
const MAX_BATCH_BYTES = 132 * 1024;

const MAX_SCOPE_BYTES = 255;
const MAX_PIECE_LENGTH = 16 * 1024 * 1024;
const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const TRAILER_BYTES = PUBLIC_KEY_BYTES + SIGNATURE_BYTES;
/** Goes before what is signed, so that no signature made for another purpose can pass for one of a batch. */
const CONTEXT = Buffer.from('shoal hash batch 2\0');
const VERSION = 2;

/** Pieces that a batch speaks of. */
export function batchCount({ digest, links }: Pick<HashBatch, 'digest' | 'links'>): number {
  return links.length / chainOf(digest).width - 1;
}

/** Most pieces that one batch of a blob can speak of. */
export function mostBatched(digest: Digest): number {
  return Math.floor(MAX_LINK_BYTES / chainOf(digest).width) - 1;
}

/**
 * The batch, the signer's public key and its signature over both:
 * `u8 version, u8 n, n bytes digest, u8 n, n bytes scope, u64 size, u32 piece length, u32 first, u16 count, count + 1 links, 32 bytes key, 64 bytes signature`.
 * @throws BatchError where the batch itself is out of bounds
 */
export function signBatch(batch: HashBatch, signer: BatchSigner): Buffer {
  checkBatch(batch);
  const signed = Buffer.concat([encodeBatch(batch), signer.publicKey]);
  return Buffer.concat([signed, signer.sign(Buffer.concat([CONTEXT, signed]))]);
}

/** The unsigned part. */
function encodeBatch(batch: HashBatch): Buffer {
  const numbers = Buffer.alloc(18);
  numbers.writeBigUInt64BE(BigInt(batch.size), 0);
  numbers.writeUInt32BE(batch.pieceLength, 8);
  numbers.writeUInt32BE(batch.first, 12);
  numbers.writeUInt16BE(batchCount(batch), 16);
  return Buffer.concat([
    Buffer.of(VERSION),
    shortText(batch.digest),
    shortText(batch.scope),
    numbers,
    batch.links,
  ]);
}

/**
 * Checks form, signer and signature, in this order.
 * @param trusted only these signers' batches are opened
 * @throws BatchError
 */
export function openBatch(bytes: Uint8Array, trusted: Iterable<BatchVerifier>): OpenedBatch {
  if (bytes.length > MAX_BATCH_BYTES)
    throw new BatchError(`a batch of ${bytes.length} bytes, ${MAX_BATCH_BYTES} allowed`);
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (all.length < TRAILER_BYTES) throw new BatchError(`a batch of ${all.length} bytes is cut short`);
  const signatureAt = all.length - SIGNATURE_BYTES;
  const signer = Buffer.from(all.subarray(signatureAt - PUBLIC_KEY_BYTES, signatureAt));
  const batch = decodeBatch(all.subarray(0, signatureAt - PUBLIC_KEY_BYTES));
  const verifier = trustedKey(signer, trusted);
  const message = Buffer.concat([CONTEXT, all.subarray(0, signatureAt)]);
  if (!verifier.verify(message, all.subarray(signatureAt)))
    throw new BatchError('the signature of a batch is wrong');
  return { ...batch, signer };
}

function trustedKey(signer: Buffer, trusted: Iterable<BatchVerifier>): BatchVerifier {
  for (const key of trusted) if (signer.equals(key.raw)) return key;
  throw new BatchError(`a batch is signed by ${signer.toString('base64')}, which is not trusted`);
}

function decodeBatch(bytes: Buffer): HashBatch {
  let position = 0;
  const take = (length: number): Buffer => {
    if (position + length > bytes.length) throw new BatchError('a batch is cut short');
    position += length;
    return bytes.subarray(position - length, position);
  };
  const version = take(1)[0]!;
  if (version !== VERSION) throw new BatchError(`a batch of version ${version}, ${VERSION} is known`);
  const digest = take(take(1)[0]!).toString('latin1');
  if (!isDigest(digest)) throw new BatchError('a batch names no digest');
  const scope = take(take(1)[0]!).toString('utf8');
  const numbers = take(18);
  const links = Buffer.from(take((numbers.readUInt16BE(16) + 1) * chainOf(digest).width));
  if (position !== bytes.length)
    throw new BatchError(`${bytes.length - position} bytes follow the links of a batch`);
  const batch: HashBatch = {
    digest,
    scope,
    size: Number(numbers.readBigUInt64BE(0)),
    pieceLength: numbers.readUInt32BE(8),
    first: numbers.readUInt32BE(12),
    links,
  };
  checkBatch(batch);
  return batch;
}

function checkBatch(batch: HashBatch): void {
  const count = batchCount(batch);
  const most = mostBatched(batch.digest);
  if (!Number.isInteger(count) || count < 1 || count > most)
    throw new BatchError(`a batch for ${count} pieces, 1 to ${most} allowed`);
  if (!Number.isSafeInteger(batch.size) || batch.size < 1)
    throw new BatchError(`a batch for a blob of ${batch.size} bytes`);
  if (!Number.isInteger(batch.pieceLength) || batch.pieceLength < 1 || batch.pieceLength > MAX_PIECE_LENGTH)
    throw new BatchError(
      `a batch with pieces of ${batch.pieceLength} bytes, 1 to ${MAX_PIECE_LENGTH} allowed`,
    );
  const pieces = Math.ceil(batch.size / batch.pieceLength);
  if (!Number.isInteger(batch.first) || batch.first < 0 || batch.first + count > pieces)
    throw new BatchError(`a batch for pieces ${batch.first} to ${batch.first + count - 1} of ${pieces}`);
  const scopeBytes = Buffer.byteLength(batch.scope);
  if (scopeBytes < 1 || scopeBytes > MAX_SCOPE_BYTES || batch.scope.includes('\0'))
    throw new BatchError('the scope of a batch is empty, too long or holds a NUL');
}

function shortText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

import {
  asDictionary,
  BencodeError,
  decodeBencodePrefix,
  encodeBencode,
  type BencodedDictionary,
} from './bencode.ts';

/** A message of BEP 9; `piece` counts parts of 16 KiB of the info dictionary. */
export type MetadataMessage =
  | { kind: 'request'; piece: number }
  | { kind: 'data'; piece: number; totalSize: number; data: Buffer }
  | { kind: 'reject'; piece: number };

/** BEP 9's part of an info dictionary, in bytes. */
const METADATA_PIECE_BYTES = 16 * 1024;

/** A ut_metadata message is malformed. */
export class MetadataError extends Error {
  override readonly name = 'MetadataError';
}

const REQUEST = 0;
const DATA = 1;
const REJECT = 2;
const MAX_MESSAGE_BYTES = METADATA_PIECE_BYTES + 256;

export function encodeMetadata(message: MetadataMessage): Buffer {
  if (message.kind !== 'data')
    return encodeBencode({ msg_type: message.kind === 'request' ? REQUEST : REJECT, piece: message.piece });
  const head = encodeBencode({ msg_type: DATA, piece: message.piece, total_size: message.totalSize });
  return Buffer.concat([head, message.data]);
}

/**
 * @returns undefined for a message type that BEP 9 says to ignore
 * @throws MetadataError
 */
export function decodeMetadata(bytes: Uint8Array): MetadataMessage | undefined {
  if (bytes.length > MAX_MESSAGE_BYTES)
    throw new MetadataError(`a ut_metadata message of ${bytes.length} bytes, ${MAX_MESSAGE_BYTES} allowed`);
  const { head, rest } = split(bytes);
  const piece = count(head, 'piece');
  const type = count(head, 'msg_type');
  if (type === REQUEST) return { kind: 'request', piece };
  if (type === REJECT) return { kind: 'reject', piece };
  if (type !== DATA) return undefined;
  if (rest.length < 1 || rest.length > METADATA_PIECE_BYTES)
    throw new MetadataError(`${rest.length} bytes of metadata, 1 to ${METADATA_PIECE_BYTES} allowed`);
  return { kind: 'data', piece, totalSize: count(head, 'total_size'), data: Buffer.from(rest) };
}

/** The answer to a request: that part of the info dictionary, or a refusal where there is no such part. */
export function answerMetadata(piece: number, info: Uint8Array | undefined): Buffer {
  const start = piece * METADATA_PIECE_BYTES;
  if (info === undefined || start >= info.length) return encodeMetadata({ kind: 'reject', piece });
  const data = Buffer.from(info.subarray(start, start + METADATA_PIECE_BYTES));
  return encodeMetadata({ kind: 'data', piece, totalSize: info.length, data });
}

function split(bytes: Uint8Array): { head: BencodedDictionary; rest: Uint8Array } {
  try {
    const { value, end } = decodeBencodePrefix(bytes);
    return { head: asDictionary(value, 'a ut_metadata message'), rest: bytes.subarray(end) };
  } catch (error) {
    if (error instanceof BencodeError)
      throw new MetadataError(`malformed ut_metadata: ${error.message}`, { cause: error });
    throw error;
  }
}

function count(head: BencodedDictionary, key: string): number {
  const value = head.get(key);
  if (typeof value === 'number' && value >= 0 && value <= 0xffff_ffff) return value;
  throw new MetadataError(`${key} of a ut_metadata message is missing or out of bounds`);
}

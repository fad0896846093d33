import { createHash } from 'node:crypto';
import { isDigest, type Digest } from '#registry/digest.ts';
import {
  asDictionary,
  BencodeError,
  decodeBencode,
  encodeBencode,
  type Bencoded,
  type BencodedDictionary,
} from './bencode.ts';

/** A blob as stock clients see it (BEP 3). */
export interface TorrentContent {
  digest: Digest;
  /** In bytes. */
  size: number;
  pieceLength: number;
  /** sha1 of each piece, 20 bytes each. */
  pieces: Buffer;
}

export interface Torrent extends TorrentContent {
  /** The info dictionary as it is, what BEP 9 serves. */
  info: Buffer;
  infoHash: Buffer;
  /** Announce URLs, in order (BEP 3, 12). */
  trackers: string[];
}

/** A torrent file is malformed or none of Shoal's. */
export class TorrentFileError extends Error {
  override readonly name = 'TorrentFileError';
}

const SHA1_BYTES = 20;
const MAX_PIECE_LENGTH = 16 * 1024 * 1024;
const MAX_TRACKERS = 64;
/** Longest torrent file that is parsed, in bytes: 3 TiB at 1 MiB per piece. */
const MAX_TORRENT_BYTES = 64 * 1024 * 1024;

/**
 * The canonical info dictionary: any origin makes the same one of the same blob, and so the same info-hash.
 * `private` (BEP 27) keeps clients from DHT and peer exchange.
 */
export function encodeInfo(content: TorrentContent): Buffer {
  checkContent(content);
  return encodeBencode({
    length: content.size,
    name: content.digest,
    'piece length': content.pieceLength,
    pieces: content.pieces,
    private: 1,
  });
}

/** SHA-1 of the info dictionary's bytes (BEP 3). */
export function infoHash(info: Uint8Array): Buffer {
  return createHash('sha1').update(info).digest();
}

/** A `.torrent` file around an info dictionary of {@link encodeInfo}. */
export function encodeTorrent(info: Uint8Array, trackers: readonly string[]): Buffer {
  const outer = encodeBencode({
    announce: trackers[0],
    'announce-list': trackers.length > 1 ? trackers.map((url) => [url]) : undefined,
    'created by': 'Shoal',
  });
  // "info" sorts after these, and goes in as the bytes that the info-hash is of.
  return Buffer.concat([outer.subarray(0, -1), Buffer.from('4:info'), info, Buffer.from('e')]);
}

/**
 * Parses a torrent of a blob as Shoal makes it: canonical bencode, a single file named by its digest, private.
 * @throws TorrentFileError
 */
export function parseTorrent(bytes: Uint8Array): Torrent {
  if (bytes.length > MAX_TORRENT_BYTES) throw new TorrentFileError(`a torrent file of ${bytes.length} bytes`);
  try {
    const root = asDictionary(decodeBencode(bytes, { canonical: true }), 'the torrent');
    const content = parseContent(asDictionary(root.get('info'), 'info'));
    const info = encodeInfo(content);
    return { ...content, info, infoHash: infoHash(info), trackers: parseTrackers(root) };
  } catch (error) {
    if (error instanceof BencodeError)
      throw new TorrentFileError(`malformed torrent: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * Parses an info dictionary, as BEP 9 hands it over.
 * @throws TorrentFileError
 */
export function parseInfo(bytes: Uint8Array): TorrentContent {
  try {
    return parseContent(asDictionary(decodeBencode(bytes, { canonical: true }), 'info'));
  } catch (error) {
    if (error instanceof BencodeError)
      throw new TorrentFileError(`malformed info: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Other members would change the info-hash that peers of this blob agree on. */
const INFO_KEYS = 'length,name,piece length,pieces,private';

function parseContent(info: BencodedDictionary): TorrentContent {
  const keys = [...info.keys()].join();
  if (keys !== INFO_KEYS)
    throw new TorrentFileError(
      `info has the members ${JSON.stringify(keys.slice(0, 200))}, not ${INFO_KEYS}`,
    );
  const name = bytesOf(info.get('name'), 'name').toString('latin1');
  if (!isDigest(name)) throw new TorrentFileError('the name in a torrent is no digest');
  if (info.get('private') !== 1) throw new TorrentFileError('a torrent is not private (BEP 27)');
  const content: TorrentContent = {
    digest: name,
    size: numberOf(info.get('length'), 'length'),
    pieceLength: numberOf(info.get('piece length'), 'piece length'),
    pieces: Buffer.from(bytesOf(info.get('pieces'), 'pieces')),
  };
  checkContent(content);
  return content;
}

function parseTrackers(root: BencodedDictionary): string[] {
  const tiers = root.get('announce-list');
  const announce = root.get('announce');
  const listed = Array.isArray(tiers) ? tiers.flat() : announce === undefined ? [] : [announce];
  if (listed.length > MAX_TRACKERS)
    throw new TorrentFileError(`${listed.length} trackers, ${MAX_TRACKERS} allowed`);
  return listed.map((url) => {
    const text = bytesOf(url, 'announce').toString();
    if (!/^(?:https?|udp):/u.test(text) || !URL.canParse(text))
      throw new TorrentFileError('an announce URL is malformed');
    return text;
  });
}

function checkContent({ size, pieceLength, pieces }: TorrentContent): void {
  if (!Number.isSafeInteger(size) || size < 1)
    throw new TorrentFileError(`a blob of ${size} bytes has no torrent`);
  if (!Number.isSafeInteger(pieceLength) || pieceLength < 1 || pieceLength > MAX_PIECE_LENGTH)
    throw new TorrentFileError(`pieces of ${pieceLength} bytes, 1 to ${MAX_PIECE_LENGTH} allowed`);
  const expected = Math.ceil(size / pieceLength) * SHA1_BYTES;
  if (pieces.length !== expected)
    throw new TorrentFileError(`${pieces.length} bytes of piece hashes where ${expected} are needed`);
}

function numberOf(value: Bencoded | undefined, what: string): number {
  if (typeof value === 'number') return value;
  throw new TorrentFileError(`${what} is missing or no integer`);
}

function bytesOf(value: Bencoded | undefined, what: string): Buffer {
  if (Buffer.isBuffer(value)) return value;
  throw new TorrentFileError(`${what} is missing or no string`);
}

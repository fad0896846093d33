import {
  asDictionary,
  decodeBencode,
  encodeBencode,
  type Bencoded,
  type BencodedDictionary,
} from '#swarm/hashes/bencode.ts';
import {
  DEFAULT_REQUEST_QUEUE,
  MAX_BLOCK_LENGTH,
  MAX_WAITING_REQUESTS,
  STRANGER_BLOCK_LENGTH,
} from './defaults.ts';
import type { ExtendedHandshake, ExtendedHello, WireRole } from './wire.ts';

/** Extended message ids that this side hands out (BEP 10), the same on every wire. 0 is the handshake. */
const STRANGER_EXTENSIONS: ReadonlyMap<string, number> = new Map([['ut_metadata', 1]]);
const MEMBER_EXTENSIONS: ReadonlyMap<string, number> = new Map([
  ...STRANGER_EXTENSIONS,
  ['shoal_hash_request', 2],
  ['shoal_hashes', 3],
  ['shoal_want', 4],
]);

const CLIENT = 'Shoal 0.1.0';
const MAX_NODE_CHARACTERS = 253;
const MAX_METADATA_BYTES = 64 * 1024 * 1024;

/** What this side tells members of itself. */
export interface ShoalHello {
  role: WireRole;
  blockLength: number;
  node?: string;
  /** Where the other side is, in its own words; two with the same are in one zone. */
  readonly zone?: string | undefined;
}

/** Names by this side's extended ids. */
function extensionsFor(member: boolean): ReadonlyMap<string, number> {
  return member ? MEMBER_EXTENSIONS : STRANGER_EXTENSIONS;
}

/** The name behind one of this side's extended ids. */
export function extensionName(id: number, member: boolean): string | undefined {
  for (const [name, known] of extensionsFor(member)) if (known === id) return name;
  return undefined;
}

/** @param shoal undefined for strangers, who are told neither role nor node */
export function encodeExtendedHandshake(hello: ExtendedHello, shoal: ShoalHello | undefined): Buffer {
  return encodeBencode({
    m: Object.fromEntries(extensionsFor(shoal !== undefined)),
    metadata_size: hello.metadataSize,
    reqq: MAX_WAITING_REQUESTS,
    shoal: shoal && { block: shoal.blockLength, node: shoal.node, role: shoal.role, zone: shoal.zone },
    upload_only: hello.uploadOnly === true ? 1 : undefined,
    v: CLIENT,
  });
}

export interface DecodedExtendedHandshake {
  handshake: ExtendedHandshake;
  /** The other side's extended ids, by name, of those that Shoal knows. */
  ids: ReadonlyMap<string, number>;
}

/**
 * Unknown members are ignored and nonsensical values count as absent, since stock clients differ here.
 * @param member whether what it says of being a Shoal peer counts
 * @throws BencodeError where it is no bencoded dictionary
 */
export function decodeExtendedHandshake(bytes: Uint8Array, member: boolean): DecodedExtendedHandshake {
  const root = asDictionary(decodeBencode(bytes), 'the extended handshake');
  const ids = extensionIds(root.get('m'), member);
  const handshake: ExtendedHandshake = {
    requestQueue: Math.min(positive(root.get('reqq')) ?? DEFAULT_REQUEST_QUEUE, MAX_WAITING_REQUESTS),
    uploadOnly: root.get('upload_only') === 1,
    extensions: new Set(ids.keys()),
  };
  const metadataSize = positive(root.get('metadata_size'));
  if (metadataSize !== undefined && metadataSize <= MAX_METADATA_BYTES) handshake.metadataSize = metadataSize;
  const shoal = member ? shoalHello(root.get('shoal')) : undefined;
  if (shoal !== undefined) handshake.shoal = shoal;
  return { handshake, ids };
}

function extensionIds(names: Bencoded | undefined, member: boolean): Map<string, number> {
  const ids = new Map<string, number>();
  if (!(names instanceof Map)) return ids;
  for (const name of extensionsFor(member).keys()) {
    const id = positive(names.get(name));
    if (id !== undefined && id <= 0xff) ids.set(name, id);
  }
  return ids;
}

function shoalHello(value: Bencoded | undefined): ShoalHello | undefined {
  if (!(value instanceof Map)) return undefined;
  const role = text(value, 'role');
  if (role !== 'agent' && role !== 'origin') return undefined;
  const block = positive(value.get('block')) ?? STRANGER_BLOCK_LENGTH;
  const most = Math.min(block, MAX_BLOCK_LENGTH);
  // Blocks lie on a grid of the shortest.
  const blockLength = Math.max(STRANGER_BLOCK_LENGTH, most - (most % STRANGER_BLOCK_LENGTH));
  const node = text(value, 'node');
  const zone = text(value, 'zone');
  return { role, blockLength, ...(node !== undefined && { node }), ...(zone !== undefined && { zone }) };
}

function text(dictionary: BencodedDictionary, key: string): string | undefined {
  const value = dictionary.get(key);
  return Buffer.isBuffer(value) && value.length <= MAX_NODE_CHARACTERS ? value.toString() : undefined;
}

function positive(value: Bencoded | undefined): number | undefined {
  return typeof value === 'number' && value > 0 ? value : undefined;
}

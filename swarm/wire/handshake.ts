import { HandshakeError } from './errors.ts';

const PROTOCOL = Buffer.from('\u0013BitTorrent protocol', 'latin1');

/** Bytes of a BEP 3 handshake: protocol name, reserved bits, info-hash, peer id. */
export const HANDSHAKE_BYTES = 68;
const HASH_BYTES = 20;

/** First byte of a BEP 3 handshake, the length of the protocol's name. */
export const PLAIN_FIRST_BYTE = 0x13;

/** BEP 20: client `SH`, version 0.1.0. */
const PEER_ID_PREFIX = '-SH0100-';

/** Reserved bits: [byte, mask]. */
const EXTENDED = [5, 0x10] as const; // BEP 10
const FAST = [7, 0x04] as const; // BEP 6
const SHOAL = [3, 0x01] as const; // no BEP uses it; a claim, which counts only where security is off

export interface Handshake {
  infoHash: Buffer;
  peerId: Buffer;
  extended: boolean;
  fast: boolean;
  shoal: boolean;
}

/** A peer id of this version of Shoal (BEP 20): the prefix and 12 random bytes. */
export function createPeerId(random: Uint8Array): Buffer {
  if (random.length !== 12) throw new RangeError(`12 random bytes make a peer id, not ${random.length}`);
  return Buffer.concat([Buffer.from(PEER_ID_PREFIX), random]);
}

/** This side's handshake, with all that Shoal speaks. */
export function encodeHandshake(infoHash: Uint8Array, peerId: Uint8Array): Buffer {
  if (infoHash.length !== HASH_BYTES || peerId.length !== HASH_BYTES)
    throw new RangeError('info-hash and peer id have 20 bytes each');
  const bytes = Buffer.alloc(HANDSHAKE_BYTES);
  bytes.set(PROTOCOL, 0);
  for (const [byte, mask] of [EXTENDED, FAST, SHOAL]) bytes[20 + byte]! |= mask;
  bytes.set(infoHash, 28);
  bytes.set(peerId, 48);
  return bytes;
}

/**
 * @param bytes exactly 68
 * @throws HandshakeError
 */
export function decodeHandshake(bytes: Buffer): Handshake {
  if (bytes.length !== HANDSHAKE_BYTES || !bytes.subarray(0, PROTOCOL.length).equals(PROTOCOL))
    throw new HandshakeError('the other side does not speak BitTorrent: BEP 3 handshake expected');
  const bit = ([byte, mask]: readonly [number, number]): boolean => (bytes[20 + byte]! & mask) !== 0;
  return {
    infoHash: Buffer.from(bytes.subarray(28, 48)),
    peerId: Buffer.from(bytes.subarray(48, 68)),
    extended: bit(EXTENDED),
    fast: bit(FAST),
    shoal: bit(SHOAL),
  };
}

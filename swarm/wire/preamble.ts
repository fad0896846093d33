import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { HandshakeError } from './errors.ts';

/**
 * Proof of cluster membership before the BEP 3 handshake, between agents. K is the membership key, all MACs are HMAC-SHA256.
 *
 *     dialer   → "Shoal" 0x01, nonce D (32), MAC K("hello", D)
 *     listener → nonce L (32), MAC K("listener", D, L)
 *     dialer   → MAC K("dialer", D, L), and at once its BEP 3 handshake
 *
 * The listener says nothing before the first MAC was right. A replayed first message gets a fresh challenge and no more,
 * and no MAC of one side passes for the other's. What follows is neither encrypted nor authenticated: content is by its hashes.
 */
export interface PreambleChannel {
  /** Exactly so many bytes. */
  read(length: number): Promise<Buffer>;
  write(bytes: Uint8Array): void;
}

const MAGIC = Buffer.from('Shoal\u0001', 'latin1');
const NONCE_BYTES = 32;
const MAC_BYTES = 32;

/** First byte of a preamble, unlike that of BEP 3 (0x13) and of TLS (0x16). */
export const PREAMBLE_FIRST_BYTE = MAGIC[0]!;

/**
 * The dialer's side. Its last message is written when this resolves.
 * @throws HandshakeError where the listener does not know the key
 */
export async function proveAsDialer(channel: PreambleChannel, key: Buffer): Promise<void> {
  const dialerNonce = randomBytes(NONCE_BYTES);
  channel.write(Buffer.concat([MAGIC, dialerNonce, mac(key, 'hello', dialerNonce)]));
  const answer = await channel.read(NONCE_BYTES + MAC_BYTES);
  const listenerNonce = answer.subarray(0, NONCE_BYTES);
  if (!timingSafeEqual(answer.subarray(NONCE_BYTES), mac(key, 'listener', dialerNonce, listenerNonce)))
    throw new HandshakeError('the listener does not know the cluster key');
  channel.write(mac(key, 'dialer', dialerNonce, listenerNonce));
}

/**
 * The listener's side; the dialer chooses which of the keys both prove.
 * @returns that key
 * @throws HandshakeError where the dialer does not know the key; nothing was written if its first MAC is wrong
 */
export async function proveAsListener(channel: PreambleChannel, keys: readonly Buffer[]): Promise<Buffer> {
  const hello = await channel.read(MAGIC.length + NONCE_BYTES + MAC_BYTES);
  const dialerNonce = hello.subarray(MAGIC.length, MAGIC.length + NONCE_BYTES);
  if (!hello.subarray(0, MAGIC.length).equals(MAGIC))
    throw new HandshakeError('a preamble of an unknown version');
  const proof = hello.subarray(MAGIC.length + NONCE_BYTES);
  const key = keys.find((known) => timingSafeEqual(proof, mac(known, 'hello', dialerNonce)));
  if (key === undefined) throw new HandshakeError('the dialer does not know the cluster key');
  const listenerNonce = randomBytes(NONCE_BYTES);
  channel.write(Buffer.concat([listenerNonce, mac(key, 'listener', dialerNonce, listenerNonce)]));
  const answer = await channel.read(MAC_BYTES);
  if (!timingSafeEqual(answer, mac(key, 'dialer', dialerNonce, listenerNonce)))
    throw new HandshakeError('the dialer repeated a preamble that it did not make');
  return key;
}

function mac(key: Buffer, label: 'hello' | 'listener' | 'dialer', ...nonces: Buffer[]): Buffer {
  const hmac = createHmac('sha256', key).update(`shoal preamble 1 ${label}\0`);
  for (const nonce of nonces) hmac.update(nonce);
  return hmac.digest();
}

import { constants, createHash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ConnectionOptions, TlsOptions, TLSSocket } from 'node:tls';

import { IdentityError } from './identity-error.ts';

const KEY_BYTES = 32;
/** One in use and one to come, or to go. */
const MOST_KEYS = 2;
/**
 * ECDHE for forward secrecy (RFC 8442), authenticated by the key alone: neither side has a certificate.
 * Node offers external PSKs only up to TLS 1.2 and only with explicitly named suites.
 */
const PSK_TLS = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
} as const;

type PskClient = Required<
  Pick<ConnectionOptions, keyof typeof PSK_TLS | 'pskCallback' | 'checkServerIdentity'>
>;

/** The keys of a cluster, 32 bytes each. The first proves this side's membership, each of them the other's. */
export type ClusterKeys = () => readonly Buffer[];

/**
 * Reads one key, or two while they are rotated, each on a line of its own: 32 bytes as base64 or as 64 hexadecimal digits.
 * @param path for the message
 * @throws IdentityError naming the file and what is allowed, never its content
 */
export function parseClusterKeys(text: string, path: string): Buffer[] {
  const lines = text.split(/\s+/u).filter((line) => line !== '');
  const keys = lines.flatMap((line) => parseKey(line) ?? []);
  if (keys.length === lines.length && keys.length >= 1 && keys.length <= MOST_KEYS) return keys;
  throw new IdentityError(
    `the cluster key in ${path} is malformed: 32 bytes are expected, as base64 or as 64 hexadecimal digits (made by "shoal keygen"), or two such keys on two lines while they are rotated`,
  );
}

function parseKey(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/iu.test(text)) return Buffer.from(text, 'hex');
  return /^[A-Za-z0-9+/]{43}=$/u.test(text) ? Buffer.from(text, 'base64') : undefined;
}

/** The key that the other side of an accepted connection named, and proved if the handshake was done. */
const namedKeys = new WeakMap<TLSSocket, Buffer>();

/** Options for a TLS server that talks only to holders of one of the keys (RFC 4279, RFC 8442). */
export function pskServer(keys: ClusterKeys): TlsOptions {
  return {
    ...PSK_TLS,
    // A session that is resumed would outlive its key: the key is proved in a full handshake only.
    secureOptions: constants.SSL_OP_NO_TICKET,
    pskIdentityHint: 'shoal',
    pskCallback: (socket, identity) => {
      const key = keys().find((known) => isEqual(pskIdentity(known), identity));
      if (key !== undefined) namedKeys.set(socket, key);
      // A key that nobody has: who asks does not learn which identities there are.
      return key === undefined ? randomBytes(KEY_BYTES) : derive(key, 'shoal tls');
    },
  };
}

/** Options for `tls.connect` towards a server made with {@link pskServer}. */
export function pskClient(keys: ClusterKeys): PskClient {
  return {
    ...PSK_TLS,
    pskCallback: () => {
      const key = ownKey(keys);
      return { psk: derive(key, 'shoal tls'), identity: pskIdentity(key) };
    },
    // No certificate takes part: the far side proved the key in the handshake, and there is no name to check.
    checkServerIdentity: () => undefined,
  };
}

/**
 * Whether the key that proves a connection still counts.
 * @param socket accepted by a server made with {@link pskServer}; undefined for one that is about to be dialled
 */
export function believedKey(keys: ClusterKeys, socket?: TLSSocket): () => boolean {
  const key = socket === undefined ? ownKey(keys) : namedKeys.get(socket);
  return () => key !== undefined && keys().some((known) => known.equals(key));
}

/** Keys of the peer wire's membership proof, 32 bytes each, in the same order. */
export function wireKeys(keys: ClusterKeys): readonly Buffer[] {
  return keys().map((key) => derive(key, 'shoal wire'));
}

function ownKey(keys: ClusterKeys): Buffer {
  const [own] = keys();
  if (own === undefined) throw new IdentityError('there is no cluster key');
  return own;
}

/** Tells the server which of two keys is meant; nothing of the key itself. */
function pskIdentity(key: Buffer): string {
  return `shoal ${derive(key, 'shoal identity').toString('hex', 0, 8)}`;
}

function derive(key: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), info, KEY_BYTES));
}

function isEqual(own: string, given: string): boolean {
  return timingSafeEqual(sha256(own), sha256(given));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

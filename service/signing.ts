import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { describeError } from '#registry/redact.ts';
import type { Security } from './identity.ts';

/** An origin's Ed25519 key (RFC 8032). */
export interface SigningKey {
  /** The raw public key, 32 bytes. */
  readonly publicKey: Buffer;
  readonly privateKey: KeyObject;
  /** @returns a 64-byte signature. */
  sign(message: Uint8Array): Buffer;
}

/** A public key that signed hash batches are accepted from. */
export interface PublicKey {
  /** The raw public key, 32 bytes. */
  readonly raw: Buffer;
  readonly key: KeyObject;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

class SigningKeyError extends Error {
  override readonly name = 'SigningKeyError';
}

/** DER of a PKCS #8 Ed25519 private key before its 32-byte seed (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
/** DER of a SubjectPublicKeyInfo for Ed25519 before its 32 raw bytes (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

/**
 * Reads an origin's signing key: a PEM file with a PKCS #8 Ed25519 key, or a 32-byte seed as base64.
 * @throws SigningKeyError naming the file and what is allowed, never its content.
 */
export function loadSigningKey(path: string): SigningKey {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new SigningKeyError(`cannot read the signing key ${path}: ${describeError(error)}`, {
      cause: error,
    });
  }
  const privateKey = parsePrivateKey(text);
  if (privateKey?.asymmetricKeyType !== 'ed25519')
    throw new SigningKeyError(
      `the signing key in ${path} is malformed: an Ed25519 private key is expected, as PEM or as a 32-byte seed in base64 (made by "shoal keygen")`,
    );
  return signingKey(privateKey);
}

/**
 * The cluster key is on every node: an origin that signed with it would let each of them sign in its name.
 * @throws SigningKeyError naming the file
 */
export function expectOwnSigningKey(key: SigningKey, path: string, security: Security): void {
  if (security.mode !== 'cluster-key') return;
  if (security.keys().some((shared) => key.privateKey.equals(privateKeyOfSeed(shared))))
    throw new SigningKeyError(
      `the signing key in ${path} is the cluster key: every holder of that could sign as this origin; give the origin a key of its own (signingKeyFile, made by "shoal keygen")`,
    );
}

function privateKeyOfSeed(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

function parsePrivateKey(text: string): KeyObject | undefined {
  try {
    if (text.startsWith('-----BEGIN')) return createPrivateKey(text);
    if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return undefined;
    return privateKeyOfSeed(Buffer.from(text, 'base64'));
  } catch {
    return undefined; // the caller's message names the file; OpenSSL's would quote nothing useful
  }
}

function signingKey(privateKey: KeyObject): SigningKey {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return {
    publicKey: Buffer.from(spki.subarray(SPKI_PREFIX.length)),
    privateKey,
    sign: (message) => sign(null, message, privateKey),
  };
}

/** A fresh signing key. */
export function generateSigningKey(): SigningKey {
  return signingKey(generateKeyPairSync('ed25519').privateKey);
}

/** A fresh cluster key, as the text that `parseClusterKeys` of cluster-key.ts reads. */
export function generateClusterKey(): string {
  return randomBytes(32).toString('base64');
}

/**
 * Parses origins' public keys, each 32 raw bytes as base64.
 * @throws SigningKeyError naming the malformed entry.
 */
export function parsePublicKeys(list: readonly string[]): PublicKey[] {
  return list.map(parsePublicKey);
}

function parsePublicKey(text: string): PublicKey {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text))
    throw new SigningKeyError(
      `"${text}" is no origin key: 32 bytes as base64 are expected, as "shoal keygen" prints them`,
    );
  const raw = Buffer.from(text, 'base64');
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
  return { raw, key, verify: (message, signature) => verify(null, message, key, signature) };
}

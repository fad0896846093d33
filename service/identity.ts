import { hkdfSync, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ConnectionOptions, TlsOptions } from 'node:tls';

import { describeError } from '#registry/redact.ts';

type PskCommon = 'ciphers' | 'minVersion' | 'maxVersion' | 'pskCallback';
export type ServerTls = Required<Pick<TlsOptions, PskCommon | 'pskIdentityHint'>>;
export type ClientTls = Required<Pick<ConnectionOptions, PskCommon | 'checkServerIdentity'>>;

/** How the parts of one cluster know each other. */
export type Security =
  | { readonly mode: 'off' }
  | { readonly mode: 'cluster-key'; /** 32 bytes. */ readonly key: Buffer };

class IdentityError extends Error {
  override readonly name = 'IdentityError';
}

const CLUSTER_KEY_BYTES = 32;
const PSK_IDENTITY = 'shoal';
/**
 * ECDHE for forward secrecy (RFC 8442), authenticated by the key alone: neither side has a certificate.
 * Node offers external PSKs only up to TLS 1.2 and only with explicitly named suites.
 */
const PSK_CIPHERS = 'ECDHE-PSK-CHACHA20-POLY1305';
const PSK_COMMON = { ciphers: PSK_CIPHERS, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

function derive(key: Buffer, info: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), info, CLUSTER_KEY_BYTES));
}

/**
 * Reads a cluster key: 32 bytes as base64 or as 64 hexadecimal digits, surrounding white space ignored.
 * @throws IdentityError naming the file and what is allowed, never its content.
 */
export function loadClusterKey(path: string): Buffer {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new IdentityError(`cannot read the cluster key ${path}: ${describeError(error)}`, {
      cause: error,
    });
  }
  const key = parseClusterKey(text);
  if (key === undefined)
    throw new IdentityError(
      `the cluster key in ${path} is malformed: 32 bytes are expected, as base64 or as 64 hexadecimal digits (made by "shoal keygen")`,
    );
  return key;
}

function parseClusterKey(text: string): Buffer | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return undefined;
  return Buffer.from(text, 'base64');
}

/** The security of a part as its configuration names it. */
export function loadSecurity(config: { security: 'off' | 'cluster-key'; clusterKeyFile?: string }): Security {
  if (config.security === 'off') return { mode: 'off' };
  if (config.clusterKeyFile === undefined)
    throw new IdentityError(
      'security is "cluster-key", so clusterKeyFile must name the file that holds the cluster key',
    );
  return { mode: 'cluster-key', key: loadClusterKey(config.clusterKeyFile) };
}

/**
 * Options for `tls.createServer` or an HTTPS server that talks only to holders of the cluster key (RFC 4279, RFC 8442).
 * Undefined where security is off.
 */
export function serverTls(security: Security): ServerTls | undefined {
  if (security.mode === 'off') return undefined;
  const psk = derive(security.key, 'shoal tls');
  return {
    ...PSK_COMMON,
    pskIdentityHint: PSK_IDENTITY,
    pskCallback: (_socket, identity: string) => (isOurIdentity(identity) ? psk : null),
  };
}

function isOurIdentity(identity: string): boolean {
  const given = Buffer.from(identity);
  const own = Buffer.from(PSK_IDENTITY);
  return given.length === own.length && timingSafeEqual(given, own);
}

/** Options for `tls.connect` towards a server made with {@link serverTls}. Undefined where security is off. */
export function clientTls(security: Security): ClientTls | undefined {
  if (security.mode === 'off') return undefined;
  const psk = derive(security.key, 'shoal tls');
  return {
    ...PSK_COMMON,
    pskCallback: () => ({ psk, identity: PSK_IDENTITY }),
    // No certificate takes part: the far side proved the key in the handshake, and there is no name to check.
    checkServerIdentity: () => undefined,
  };
}

/** Key of the peer wire's membership proof (32 bytes). Undefined where security is off. */
export function membershipKey(security: Security): Buffer | undefined {
  return security.mode === 'off' ? undefined : derive(security.key, 'shoal wire');
}

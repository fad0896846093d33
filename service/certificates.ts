import { X509Certificate } from 'node:crypto';
import { type ConnectionOptions, createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';

import { describeError } from '#registry/redact.ts';
import type { FileBacked } from './file-backed.ts';
import { IdentityError } from './identity-error.ts';

/** Where a member's certificate is, PEM. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** DNS name that every member's certificate has among its subject alternative names. */
  readonly name: string;
}

/** What proves membership, and what others' proofs are checked by. */
export interface Certificates {
  readonly pem: { readonly cert: string; readonly key: string; readonly ca: string };
  /** Of the same, for connections that are dialled. */
  readonly context: SecureContext;
  readonly name: string;
}

type CertificateClient = Required<
  Pick<ConnectionOptions, 'secureContext' | 'rejectUnauthorized' | 'checkServerIdentity'>
>;

export type MemberCertificates = FileBacked<Certificates>;

/** @throws IdentityError naming the file that cannot be used */
export function parseCertificates(
  [cert = '', key = '', ca = '']: readonly string[],
  { certFile, keyFile, caFile, name }: CertificateFiles,
): Certificates {
  const own = parseCertificate(cert, certFile);
  parseCertificate(ca, caFile);
  if (!isNamed(own, name))
    throw new IdentityError(
      `the certificate in ${certFile} does not name ${name}: it is needed among its DNS names (mtls.name)`,
    );
  const pem = { cert, key, ca };
  try {
    return { pem, context: createSecureContext({ ...pem, minVersion: 'TLSv1.3' }), name };
  } catch (cause) {
    throw new IdentityError(
      `the certificate in ${certFile}, the key in ${keyFile} and the authorities in ${caFile} do not go together: ${describeError(cause)}`,
      { cause },
    );
  }
}

function parseCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new IdentityError(`there is no certificate (PEM) in ${path}`, { cause });
  }
}

/**
 * Options for a TLS 1.3 server that talks only to who has a certificate of the authorities. Its name is checked by
 * {@link isMember}, when the handshake is done.
 */
export function certificateServer({ current }: MemberCertificates): TlsOptions {
  return { ...current.pem, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true };
}

/** Options for `tls.connect` towards a server made with {@link certificateServer}. */
export function certificateClient({ current }: MemberCertificates): CertificateClient {
  const { context, name } = current;
  return {
    secureContext: context,
    rejectUnauthorized: true,
    // Members are dialled by address; what counts is that the authority made them members.
    checkServerIdentity: (_host, { raw }) =>
      isNamed(new X509Certificate(raw), name)
        ? undefined
        : new IdentityError(`the other side's certificate does not name ${name}`),
  };
}

/** Whether a connection whose certificate was verified is a member's: the same authorities may serve others too. */
export function isMember(
  { current: { name } }: MemberCertificates,
  certificate: X509Certificate | undefined,
): boolean {
  return certificate !== undefined && isNamed(certificate, name);
}

function isNamed(certificate: X509Certificate, name: string): boolean {
  return certificate.checkHost(name, { subject: 'never', wildcards: false }) !== undefined;
}

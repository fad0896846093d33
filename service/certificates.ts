import { constants, X509Certificate } from 'node:crypto';
import {
  type ConnectionOptions,
  createSecureContext,
  type SecureContext,
  type TlsOptions,
  type TLSSocket,
} from 'node:tls';

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
  readonly authorities: readonly X509Certificate[];
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
  const authorities = (ca.match(PEM_CERTIFICATE) ?? ['']).map((pem) => parseCertificate(pem, caFile));
  if (!isNamed(own, name))
    throw new IdentityError(
      `the certificate in ${certFile} does not name ${name}: it is needed among its DNS names (mtls.name)`,
    );
  const pem = { cert, key, ca };
  try {
    return { pem, context: createSecureContext({ ...pem, minVersion: 'TLSv1.3' }), authorities, name };
  } catch (cause) {
    throw new IdentityError(
      `the certificate in ${certFile}, the key in ${keyFile} and the authorities in ${caFile} do not go together: ${describeError(cause)}`,
      { cause },
    );
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu;

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
  return {
    ...current.pem,
    minVersion: 'TLSv1.3',
    requestCert: true,
    rejectUnauthorized: true,
    // A session that is resumed would outlive its certificate: that is proved in a full handshake only.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
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

/** Whether the certificate that the other side proved still counts: none of its chain has ended, and its authority is one of ours. */
export function believedCertificate(certificates: MemberCertificates, socket: TLSSocket): () => boolean {
  const chain = [...chainOf(socket.getPeerX509Certificate())];
  const endsAt = Math.min(...chain.map(({ validTo }) => Date.parse(validTo)));
  let checked: Certificates | undefined;
  let isIssued = false;
  return () => {
    const { current } = certificates;
    if (current !== checked) isIssued = chain.some((one) => isIssuedBy(current.authorities, one));
    checked = current;
    return isIssued && Date.now() < endsAt;
  };
}

function* chainOf(certificate: X509Certificate | undefined): Generator<X509Certificate> {
  for (let one = certificate; one !== undefined; one = one.issuerCertificate) {
    yield one;
    if (one.issuerCertificate?.fingerprint256 === one.fingerprint256) return;
  }
}

function isIssuedBy(authorities: readonly X509Certificate[], certificate: X509Certificate): boolean {
  return authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
}

function isNamed(certificate: X509Certificate, name: string): boolean {
  return certificate.checkHost(name, { subject: 'never', wildcards: false }) !== undefined;
}

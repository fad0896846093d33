import { causesOf, codeOf } from '#registry/as-error.ts';

/**
 * OpenSSL's codes for a TLS-PSK handshake between two different keys: the first encrypted record cannot be read, which
 * the other side tells by the alert bad_record_mac (20) or decrypt_error (51), RFC 5246, 7.2.2.
 */
const OTHER_KEY = /^ERR_SSL_(?:.*_)?(?:BAD_RECORD_MAC|DECRYPT_ERROR)$/u;
/** One side offers pre-shared keys by TLS 1.2, the other certificates by TLS 1.3. */
const OTHER_PROOF = /^ERR_SSL_(?:.*_)?(?:HANDSHAKE_FAILURE|PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL)$/u;
/** OpenSSL's names of what is wrong with a certificate (X509_verify_cert_error_string). */
const OTHER_AUTHORITY =
  /^(?:UNABLE_TO_(?:VERIFY|GET)_.*|SELF_SIGNED_.*|DEPTH_ZERO_.*|CERT_(?:HAS_EXPIRED|NOT_YET_VALID|UNTRUSTED))$/u;
/** Its first bytes are none of TLS. */
const NO_TLS = /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/u;

/** What a failed handshake with a member of the cluster means; undefined where the error is of another kind. */
export function describeKeyMismatch(error: unknown): string | undefined {
  for (const code of causesOf(error).map(codeOf)) {
    if (OTHER_KEY.test(code))
      return 'it has another cluster key: clusterKeyFile must have the same key on both sides';
    if (OTHER_PROOF.test(code))
      return 'it proves membership in another way: security must be the same on both sides';
    if (OTHER_AUTHORITY.test(code))
      return `its certificate is not believed (${code}): mtls.caFile must have the authorities of both sides`;
    if (NO_TLS.test(code)) return 'it speaks no TLS: security must be the same on both sides';
  }
  return undefined;
}

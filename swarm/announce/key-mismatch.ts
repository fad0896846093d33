/**
 * OpenSSL's codes for a TLS-PSK handshake between two different keys: the first encrypted record cannot be read, which
 * the other side tells by the alert bad_record_mac (20) or decrypt_error (51), RFC 5246, 7.2.2.
 */
const OTHER_KEY = /^ERR_SSL_(?:.*_)?(?:BAD_RECORD_MAC|DECRYPT_ERROR)$/u;
/** Its first bytes are none of TLS. */
const NO_TLS = /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/u;

/** What a failed handshake with a member of the cluster means; undefined where the error is of another kind. */
export function describeKeyMismatch(error: unknown): string | undefined {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth += 1) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    if (OTHER_KEY.test(code))
      return 'it has another cluster key: clusterKeyFile must have the same key on both sides';
    if (NO_TLS.test(code)) return 'it speaks no TLS: security must be the same on both sides';
  }
  return undefined;
}

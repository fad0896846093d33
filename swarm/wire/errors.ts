/** The other side broke the protocol or stopped taking part; the wire is closed. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** A connection ended, was refused or was cut before both handshakes were done. */
export class HandshakeError extends Error {
  override readonly name = 'HandshakeError';
}

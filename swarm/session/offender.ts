/** 127.0.0.0/8 and ::1, the former also as IPv6 writes it. */
const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/u;

/**
 * Whom the wrongs of a peer are counted against: its host's address, since its peer id is its own choice and its port
 * the kernel's. On loopback all processes of a machine have one address, so there it is the peer id.
 */
export function offenderOf(peerId: string, address: string): string {
  return LOOPBACK.test(address) ? peerId : address.replace(/^::ffff:/u, '');
}

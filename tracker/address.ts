import { isIPv4, isIPv6 } from 'node:net';

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;

/** A remote address as peers are to see it: an IPv4 address mapped into IPv6 (RFC 4291, 2.5.5.2) becomes IPv4 again, a scope id goes. */
export function normaliseAddress(address: string): string {
  const bare = address.split('%', 1)[0]!;
  const mapped = MAPPED.exec(bare)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : bare;
}

/**
 * Address and port as BEP 23 (6 bytes, IPv4) and BEP 7 (18 bytes, IPv6) write them.
 * @returns undefined for what is no IP address.
 */
export function compactAddress(ip: string, port: number): Buffer | undefined {
  const address = isIPv4(ip) ? ipv4Bytes(ip) : isIPv6(ip) ? ipv6Bytes(ip) : undefined;
  if (address === undefined) return undefined;
  const compact = Buffer.alloc(address.length + 2);
  compact.set(address);
  compact.writeUInt16BE(port, address.length);
  return compact;
}

function ipv4Bytes(ip: string): number[] {
  return ip.split('.').map(Number);
}

/** RFC 4291, 2.2: groups of 16 bits, `::` for a run of zeros, the last 32 bits perhaps as IPv4. */
function ipv6Bytes(ip: string): Uint8Array {
  const [head = '', tail] = normaliseTail(ip.split('%', 1)[0]!).split('::');
  const before = groups(head);
  const after = groups(tail ?? '');
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [at, group] of before.entries()) view.setUint16(at * 2, group);
  for (const [at, group] of after.entries()) view.setUint16(16 - (after.length - at) * 2, group);
  return bytes;
}

function normaliseTail(ip: string): string {
  const at = ip.lastIndexOf(':') + 1;
  const last = ip.slice(at);
  if (!last.includes('.')) return ip;
  const [a = 0, b = 0, c = 0, d = 0] = ipv4Bytes(last);
  return `${ip.slice(0, at)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}

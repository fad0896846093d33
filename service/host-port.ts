import { isIP } from 'node:net';

/** A place to listen at or to reach. */
export interface HostPort {
  /** Name or address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `host:port` or `[address]:port`: brackets are needed around IPv6 addresses and allowed around IPv4 ones,
 * for who writes down an address without looking at its kind.
 * @returns undefined if it is neither.
 */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  if (port > 65_535 || (match[1] !== undefined && isIP(host) === 0)) return undefined;
  return { host, port };
}

/** What {@link parseHostPort} reads. @throws TypeError where it is neither. */
export function expectHostPort(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (parsed === undefined) throw new TypeError(`"${text}" is not host:port`);
  return parsed;
}

/** The inverse of {@link parseHostPort}: IPv6 addresses get their brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only this machine can reach a listener at that host. */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host) || /^::ffff:127\./i.test(host)
  );
}

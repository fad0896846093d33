import { BlockList, isIP } from 'node:net';
import { quote } from './redact.ts';

/** HTTP_PROXY, HTTPS_PROXY and NO_PROXY as they stand in the environment. */
export interface ProxySettings {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly noProxy?: string;
}

/** A proxy that is set but cannot be used. The value is not shown: it may hold a password. */
export class ProxySettingsError extends Error {
  override readonly name = 'ProxySettingsError';
}

/** Tells which proxy, if any, a URL is asked through. */
export type ProxyChoice = (url: URL) => string | undefined;

/** The settings in an environment; lower case counts first, as in curl and Go. */
export function proxySettings(env: Readonly<Record<string, string | undefined>>): ProxySettings {
  const read = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined;
  const httpProxy = read('HTTP_PROXY');
  const httpsProxy = read('HTTPS_PROXY');
  const noProxy = read('NO_PROXY');
  return {
    ...(httpProxy !== undefined && { httpProxy }),
    ...(httpsProxy !== undefined && { httpsProxy }),
    ...(noProxy !== undefined && { noProxy }),
  };
}

/**
 * The rule of Go's net/http, which the container runtimes follow: the proxy by the target's scheme, none for
 * localhost and loopback addresses, none where NO_PROXY names the host (`*`, `host`, `.domain`, `*.domain`,
 * address or CIDR, each with `:port` where wanted; a name covers its subdomains).
 * @throws ProxySettingsError
 */
export function proxyChoice(settings: ProxySettings): ProxyChoice {
  const http = proxyUrl('HTTP_PROXY', settings.httpProxy);
  const https = proxyUrl('HTTPS_PROXY', settings.httpsProxy);
  const direct = directHosts(settings.noProxy ?? '');
  return (url) => (direct(hostOf(url), portOf(url)) ? undefined : url.protocol === 'https:' ? https : http);
}

type HostRule = (host: string, port: string) => boolean;

function proxyUrl(name: string, value: string | undefined): string | undefined {
  if (value === undefined || value === '') return undefined;
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ProxySettingsError(`${name} is not a proxy: http://host:port or https://host:port is allowed`);
  }
  return url.href;
}

function directHosts(noProxy: string): HostRule {
  const rules = noProxy
    .split(/[\s,]+/u)
    .filter((entry) => entry !== '')
    .map((entry) => hostRule(entry.toLowerCase()));
  const loopback = addressRule('127.0.0.0/8');
  const isLoopback: HostRule = (host, port) => host === 'localhost' || host === '::1' || loopback(host, port);
  return (host, port) => isLoopback(host, port) || rules.some((rule) => rule(host, port));
}

function hostRule(entry: string): HostRule {
  if (entry === '*') return () => true;
  const { host, port } = splitPort(entry);
  const rule = isIP(host.split('/', 1)[0]!) === 0 ? nameRule(host) : addressRule(host);
  return port === undefined ? rule : (name, asked) => asked === port && rule(name, asked);
}

function splitPort(entry: string): { host: string; port?: string } {
  const bracketed = /^\[(?<host>[^\]]+)\](?::(?<port>\d+))?$/u.exec(entry)?.groups;
  const plain = bracketed ?? /^(?<host>[^:]+):(?<port>\d+)$/u.exec(entry)?.groups;
  const port = plain?.['port'];
  return { host: plain?.['host'] ?? entry, ...(port !== undefined && { port }) };
}

function nameRule(entry: string): HostRule {
  const onlySubdomains = /^\*?\./u.test(entry);
  const domain = entry.replace(/^\*?\./u, '').replace(/\.$/u, '');
  return (host) => (!onlySubdomains && host === domain) || host.endsWith(`.${domain}`);
}

function addressRule(entry: string): HostRule {
  const [address = '', prefix] = entry.split('/', 2);
  const list = new BlockList();
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  const bits = prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > (family === 'ipv6' ? 128 : 32)) {
    throw new ProxySettingsError(`NO_PROXY has ${quote(entry)}, which is no address range`);
  }
  list.addSubnet(address, bits, family);
  return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(?<address>.+)\]$/u, '$<address>').replace(/\.$/u, '');
}

function portOf(url: URL): string {
  return url.port !== '' ? url.port : url.protocol === 'https:' ? '443' : '80';
}

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { CONNECT_TIMEOUT_MS, CONNECTIONS_PER_ORIGIN, KEEP_ALIVE_MS, MAX_ORIGINS } from './defaults.ts';
import { type ProxyChoice, proxyChoice, type ProxySettings } from './proxy.ts';
import { describeError, quote } from './redact.ts';
import { parseRegistryHost } from './reference.ts';

/** What is set for one host. The host may be a registry, a token realm or a blob store that a registry redirects to. */
export interface UpstreamHost {
  /** Base URL that is asked in the registry's name; a path in it comes before `/v2/`. Default: `https://` and the name. */
  readonly endpoint?: string;
  /** PEM file of certificate authorities that are trusted for this host beside the system's. */
  readonly ca?: string;
  /** Speak plain HTTP. Without it no http:// URL of this host is asked, localhost included. */
  readonly plainHttp?: boolean;
}

/** By the registry's name: host and, where it has one, port. */
export type UpstreamHosts = Readonly<Record<string, UpstreamHost>>;

/** A setting of an upstream host is malformed; names the host and the knob. */
export class UpstreamHostError extends Error {
  override readonly name = 'UpstreamHostError';
}

export interface HostsOptions {
  readonly proxy?: ProxySettings;
  readonly connectTimeoutMs?: number;
  readonly connectionsPerOrigin?: number;
}

/** Docker Hub's registry is not at its name. */
const WELL_KNOWN: UpstreamHosts = { 'docker.io': { endpoint: 'https://registry-1.docker.io' } };

interface HostSettings {
  readonly endpoint: URL;
  readonly plainHttp: boolean;
  readonly ca?: string;
}

/**
 * Where each registry is, whom its TLS trusts and through which proxy it is asked. Owns the connections:
 * one pool for each pair of CA file and proxy, shared by all hosts that have neither.
 */
export class Hosts implements AsyncDisposable {
  readonly #byRegistry = new Map<string, HostSettings>();
  readonly #byHost = new Map<string, HostSettings>();
  readonly #secureContexts = new Map<string, SecureContext>();
  readonly #dispatchers = new Map<string, Dispatcher>();
  readonly #proxyOf: ProxyChoice;
  readonly #options: HostsOptions;
  #closed = false;

  /**
   * Reads the CA files at once, so that a wrong one stops the start.
   * @throws UpstreamHostError, ProxySettingsError
   */
  constructor(hosts: UpstreamHosts, options: HostsOptions = {}) {
    this.#options = options;
    this.#proxyOf = proxyChoice(options.proxy ?? {});
    for (const [name, host] of Object.entries({ ...WELL_KNOWN, ...hosts })) this.#add(name, host);
  }

  /** Base URL of a registry, its path ending in a slash. */
  endpoint(registry: string): URL {
    return this.#byRegistry.get(registry)?.endpoint ?? new URL(`https://${registry}/`);
  }

  /** False for http:// unless that host and port are named with plainHttp, and for any scheme beside the two. */
  allows(url: URL): boolean {
    if (url.protocol === 'https:') return true;
    return url.protocol === 'http:' && this.#byHost.get(url.host)?.plainHttp === true;
  }

  /** The connections for a URL's host. @throws TypeError once closed */
  dispatcher(url: URL): Dispatcher {
    if (this.#closed) throw new TypeError('the upstream hosts are closed');
    const ca = this.#byHost.get(url.host)?.ca;
    const proxy = this.#proxyOf(url);
    const key = JSON.stringify([ca, proxy]);
    const known = this.#dispatchers.get(key);
    if (known !== undefined) return known;
    const made = this.#dispatch(ca === undefined ? undefined : this.#secureContexts.get(ca), proxy);
    this.#dispatchers.set(key, made);
    return made;
  }

  /** Ends all connections; requests under way fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const all = [...this.#dispatchers.values()];
    this.#dispatchers.clear();
    await Promise.all(all.map((dispatcher) => dispatcher.destroy()));
  }

  #add(name: string, host: UpstreamHost): void {
    const registry = parseName(name);
    const endpoint = parseEndpoint(name, registry, host);
    const settings = {
      endpoint,
      plainHttp: host.plainHttp === true,
      ...(host.ca !== undefined && { ca: host.ca }),
    };
    if (host.ca !== undefined) this.#secureContexts.set(host.ca, readAuthorities(name, host.ca));
    this.#byRegistry.set(registry, settings);
    // Several registries may share an endpoint: what one of them sets for that host is set for it.
    const shared = this.#byHost.get(endpoint.host);
    const plainHttp = settings.plainHttp || shared?.plainHttp === true;
    this.#byHost.set(endpoint.host, { ...shared, ...settings, plainHttp });
  }

  #dispatch(secureContext: SecureContext | undefined, proxy: string | undefined): Dispatcher {
    const connectTimeout = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    // HTTP/1.1 only: one stream's flow-control window would bound a large blob, and a cut must not hit its neighbours.
    const tls = { allowH2: false, ...(secureContext !== undefined && { secureContext }) };
    const options = {
      allowH2: false,
      connections: this.#options.connectionsPerOrigin ?? CONNECTIONS_PER_ORIGIN,
      connectTimeout,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxOrigins: MAX_ORIGINS,
      pipelining: 1,
    };
    if (proxy !== undefined) return new ProxyAgent({ ...options, uri: proxy, requestTls: tls });
    return new Agent({ ...options, connect: { ...tls, timeout: connectTimeout } });
  }
}

function parseName(name: string): string {
  try {
    return parseRegistryHost(name);
  } catch (cause) {
    throw new UpstreamHostError(`upstream host ${quote(name)}: ${describeError(cause)}`, { cause });
  }
}

function parseEndpoint(name: string, registry: string, { endpoint, plainHttp }: UpstreamHost): URL {
  const wellKnown = WELL_KNOWN[registry]?.endpoint;
  const url = URL.parse(endpoint ?? wellKnown ?? `${plainHttp === true ? 'http' : 'https'}://${registry}`);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new UpstreamHostError(`upstream host ${quote(name)}: endpoint is not an http or https URL`);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UpstreamHostError(
      `upstream host ${quote(name)}: endpoint may have a host, a port and a path only`,
    );
  }
  if (url.protocol === 'http:' && plainHttp !== true) {
    throw new UpstreamHostError(`upstream host ${quote(name)}: an http:// endpoint needs plainHttp: true`);
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

function readAuthorities(name: string, path: string): SecureContext {
  try {
    const pem = readFileSync(path, 'utf8');
    // OpenSSL passes over what is no certificate; this does not.
    void new X509Certificate(pem);
    return createSecureContext({ ca: [...getCACertificates('default'), pem] });
  } catch (cause) {
    throw new UpstreamHostError(
      `upstream host ${quote(name)}: cannot read the certificate authorities in ${path}: ${describeError(cause)}`,
      { cause },
    );
  }
}

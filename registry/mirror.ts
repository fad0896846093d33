import type { Dispatcher } from 'undici';

import type { Credentials } from './credentials.ts';
import { Hosts } from './hosts.ts';
import type { UpstreamHosts } from './hosts.ts';
import type { ProxySettings } from './proxy.ts';
import type { Reference } from './reference.ts';
import { Upstream } from './upstream.ts';
import type { UpstreamOptions } from './upstream.ts';
import type { Authorization } from './upstream-answer.ts';

export interface MirrorOptions extends UpstreamOptions {
  /** Base URL of the mirror: an agent's door. */
  readonly agent: URL;
  readonly credentials?: Credentials;
  /** Hosts, beside the mirror, that may be asked over plain HTTP: a token realm of a test registry. */
  readonly plainHosts?: readonly string[];
  /** How single hosts beside the mirror are reached: token realms. */
  readonly hosts?: UpstreamHosts;
  readonly proxy?: ProxySettings;
}

/**
 * A mirror seen as the registry it stands for: each request says by `ns` which one is meant, as containerd's do.
 * The mirror relays the registry's 401; it is answered here, at the real realm, with the credential of the real registry.
 */
export class Mirror implements AsyncDisposable {
  readonly upstream: Upstream;
  /** The mirror in the place of the registry. */
  readonly target: { readonly registry: string; readonly repository: string };
  readonly auth: Authorization;
  readonly #hosts: MirrorHosts;
  readonly #agent: URL;

  constructor({ registry, repository }: Reference, options: MirrorOptions) {
    const { agent, credentials, plainHosts = [], hosts: others = {} } = options;
    const plain = plainHosts.map((host) => [host, { plainHttp: true }] as const);
    const door = { endpoint: agent.href, plainHttp: agent.protocol === 'http:' };
    const hosts = { ...others, ...Object.fromEntries(plain), [agent.host]: door };
    this.#agent = agent;
    this.#hosts = new MirrorHosts(hosts, agent, registry, options.proxy);
    this.upstream = new Upstream({ hosts: this.#hosts }, options);
    this.target = { registry: agent.host, repository };
    this.auth = {
      kind: 'own',
      ...(credentials && { credentials: { lookup: () => credentials.lookup(registry) } }),
    };
  }

  /** GET of a route of the mirror's own. */
  async get(path: string, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return this.#hosts
      .dispatcher(this.#agent)
      .request({ origin: this.#agent.origin, path, method: 'GET', signal, headersTimeout: 5000 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.upstream[Symbol.asyncDispose]();
    await this.#hosts[Symbol.asyncDispose]();
  }
}

/** Adds the registry's name to what is asked of the mirror; other hosts are asked as they are. */
class MirrorHosts extends Hosts {
  readonly #agent: URL;
  readonly #registry: string;

  constructor(hosts: UpstreamHosts, agent: URL, registry: string, proxy: ProxySettings = {}) {
    super(hosts, { proxy });
    this.#agent = agent;
    this.#registry = registry;
  }

  override dispatcher(url: URL): Dispatcher {
    const dispatcher = super.dispatcher(url);
    if (url.host !== this.#agent.host) return dispatcher;
    return dispatcher.compose(
      (dispatch) => (options, handler) => dispatch(named(options, this.#registry), handler),
    );
  }
}

function named(options: Dispatcher.DispatchOptions, registry: string): Dispatcher.DispatchOptions {
  const separator = options.path.includes('?') ? '&' : '?';
  return { ...options, path: `${options.path}${separator}ns=${encodeURIComponent(registry)}` };
}

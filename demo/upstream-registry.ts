import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Image } from './image.ts';
import { AccessLog, type UpstreamPart } from './upstream/access-log.ts';
import { Authority, authorizationKind, type Auth } from './upstream/authority.ts';
import { Bandwidth } from './upstream/bandwidth.ts';
import { BlobStore } from './upstream/blob-store.ts';
import { Content } from './upstream/content.ts';
import { answerDistribution } from './upstream/distribution.ts';
import { sendEmpty, sendError, sendJson, type Exchange } from './upstream/exchange.ts';
import { Faults, findFault } from './upstream/faults.ts';
import { Listener, type Tls } from './upstream/listener.ts';
import { parseRoute, type Route } from './upstream/route.ts';

/** All of it may change while the registry runs; a request sees what holds at its arrival. */
export interface UpstreamSettings {
  /** Body bytes per second over all connections together; undefined is no limit. */
  bytesPerSecond: number | undefined;
  /** From a request's arrival to its response's headers: the round trip. */
  latencyMs: number;
  auth: Auth;
  /** Blobs are answered by 307 to another origin with a signed query. */
  redirectBlobs: boolean;
  /** Hostile: HEAD of any manifest or blob, whoever asks, is answered 200 with this length. */
  headLies: { size: number } | undefined;
}

export interface UpstreamOptions extends Partial<UpstreamSettings> {
  tls?: Tls;
}

/**
 * A registry far away, on loopback: the pull side of OCI distribution 1.1, its auth schemes, a link of a given
 * width, a log of what was asked, and everything that goes wrong with registries.
 */
export class UpstreamRegistry implements AsyncDisposable {
  readonly content = new Content();
  readonly log = new AccessLog();
  readonly faults = new Faults();
  readonly #authority = new Authority();
  readonly #bandwidth = new Bandwidth();
  readonly #store = new BlobStore(this.content);
  readonly #listeners: Record<UpstreamPart, Listener>;
  #settings: Omit<UpstreamSettings, 'auth' | 'bytesPerSecond'> = {
    latencyMs: 0,
    redirectBlobs: false,
    headLies: undefined,
  };

  private constructor({ tls, ...settings }: UpstreamOptions) {
    const listener = (part: UpstreamPart): Listener =>
      new Listener((request, response) => void this.#receive(part, request, response), tls);
    this.#listeners = { registry: listener('registry'), realm: listener('realm'), store: listener('store') };
    this.configure(settings);
  }

  static async start(options: UpstreamOptions = {}): Promise<UpstreamRegistry> {
    const registry = new UpstreamRegistry(options);
    await registry.start();
    return registry;
  }

  /** `127.0.0.1:<port>`, as it stands in an image reference. */
  get host(): string {
    return new URL(this.url).host;
  }

  /** Without a trailing slash. */
  get url(): string {
    return this.#listeners.registry.url;
  }

  get storeUrl(): string {
    return this.#listeners.store.url;
  }

  get realmUrl(): string {
    const { auth } = this.#authority;
    const other = auth.kind === 'token' && auth.realm === 'other';
    return `${other ? this.#listeners.realm.url : this.url}/token`;
  }

  /** Requests with an Authorization that reached the blob store; must stay 0. */
  get leakedAuthorizations(): number {
    return this.#store.leakedAuthorizations;
  }

  /** What is not named stays as it is; `bytesPerSecond: undefined` lifts the limit. */
  configure(settings: Partial<UpstreamSettings>): void {
    const { auth, bytesPerSecond, ...others } = settings;
    if (auth !== undefined) this.#authority.auth = auth;
    if ('bytesPerSecond' in settings) this.#bandwidth.rate = bytesPerSecond;
    this.#settings = { ...this.#settings, ...others };
  }

  addImage(repository: string, tag: string, image: Image): Promise<void> {
    return this.content.addImage(repository, tag, image);
  }

  revokeTokens(): void {
    this.#authority.revokeTokens();
  }

  /** On the same ports as before. `part` alone: the realm or the store comes back by itself. */
  async start(part?: UpstreamPart): Promise<void> {
    await Promise.all(this.#pick(part).map((listener) => listener.start()));
  }

  /** Gone: connections are cut, new ones refused. Content, log and tokens stay. */
  async stop(part?: UpstreamPart): Promise<void> {
    await Promise.all(this.#pick(part).map((listener) => listener.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #pick(part: UpstreamPart | undefined): Listener[] {
    return part === undefined ? Object.values(this.#listeners) : [this.#listeners[part]];
  }

  async #receive(part: UpstreamPart, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = this.#open(part, request, response);
    try {
      await this.#answer(exchange);
    } catch (error) {
      if (exchange.signal.aborted) return;
      // A fault of the fixture itself must not look like one that was asked for.
      console.error('upstream registry:', error);
      response.destroy();
    }
  }

  #open(part: UpstreamPart, request: IncomingMessage, response: ServerResponse): Exchange {
    const url = new URL(request.url ?? '/', this.#listeners[part].url);
    const { method = 'GET', headers } = request;
    const route: Route = part === 'store' ? { kind: 'unknown' } : parseRoute(url.pathname);
    const entry = this.log.open({
      part,
      method,
      path: url.pathname,
      query: url.search,
      range: headers.range,
      userAgent: headers['user-agent'],
      authorization: authorizationKind(headers.authorization),
    });
    const gone = new AbortController();
    response.on('error', () => {});
    response.once('close', () => {
      entry.done = true;
      entry.cut = !response.writableFinished;
      gone.abort(new Error('the client has gone'));
    });
    const faults = this.faults.hit({ part, method, route });
    const { log } = this;
    const bandwidth = this.#bandwidth;
    return { request, response, part, url, route, entry, log, bandwidth, faults, signal: gone.signal };
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { faults, signal, part, route } = exchange;
    if (this.#settings.latencyMs > 0) await sleep(this.#settings.latencyMs, undefined, { signal });
    if (findFault(faults, 'hang') !== undefined) return;
    const failure = findFault(faults, 'status');
    if (failure !== undefined) {
      const after = failure.retryAfterSeconds;
      const headers: Record<string, string> = after === undefined ? {} : { 'retry-after': String(after) };
      return sendError(exchange, failure.status, codeOf(failure.status), 'injected fault', headers);
    }
    if (part === 'store') return this.#store.answer(exchange);
    if (route.kind === 'token') return this.#answerToken(exchange);
    if (part === 'realm') return sendError(exchange, 404, 'UNSUPPORTED', 'no such endpoint');
    return this.#answerRegistry(exchange);
  }

  async #answerRegistry(exchange: Exchange): Promise<void> {
    const { request, route, entry } = exchange;
    const { headLies, redirectBlobs } = this.#settings;
    if (headLies !== undefined && request.method === 'HEAD' && 'repository' in route) {
      return this.#lie(exchange, headLies.size);
    }
    const repository = 'repository' in route ? route.repository : undefined;
    const { user, denial } = this.#authority.judge(request.headers.authorization, repository, this.realmUrl);
    entry.user = user;
    if (denial !== undefined) {
      const headers: Record<string, string> =
        denial.challenge === undefined ? {} : { 'www-authenticate': denial.challenge };
      return sendError(exchange, denial.status, denial.code, 'access is not permitted', headers);
    }
    const redirect = redirectBlobs
      ? (digest: string, name: string): string => this.storeUrl + this.#store.link(digest, name)
      : undefined;
    return answerDistribution(exchange, { content: this.content, redirect });
  }

  #lie(exchange: Exchange, size: number): void {
    const { route } = exchange;
    const digest = route.kind === 'manifest' ? route.reference : 'digest' in route ? route.digest : '';
    sendEmpty(exchange, 200, {
      'content-length': String(size),
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
    });
  }

  #answerToken(exchange: Exchange): void {
    const { request, url } = exchange;
    if (request.method !== 'GET') {
      return sendError(exchange, 405, 'UNSUPPORTED', 'tokens are given to GET', { allow: 'GET' });
    }
    const issued = this.#authority.issue(request.headers.authorization, url.searchParams);
    if (issued === undefined) {
      const headers = { 'www-authenticate': 'Basic realm="Upstream"' };
      return sendError(exchange, 401, 'UNAUTHORIZED', 'unknown user or wrong password', headers);
    }
    exchange.entry.user = issued.user;
    sendJson(exchange, 200, issued.answer);
  }
}

function codeOf(status: number): string {
  return status === 429 ? 'TOOMANYREQUESTS' : 'UNKNOWN';
}

import type { KubeConfig } from '@kubernetes/client-node';
import { createHash } from 'node:crypto';
import type { RequestOptions } from 'node:https';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';

import { readBody } from '#registry/response-body.ts';
import { ApiError, errorOfStatus } from './api-error.ts';
import { MAX_ANSWER_BYTES, MAX_EVENT_BYTES, REQUEST_TIMEOUT_MS, WATCH_SILENCE_MS } from './constants.ts';
import { readLines } from './lines.ts';

/** How a body changes an object. */
type PatchKind = 'merge' | 'json';

const PATCH_TYPES: Readonly<Record<PatchKind, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
};

interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Without the query. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly patch?: PatchKind;
}

/** One event of a watch, as it came. */
interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

/**
 * Kubernetes' API: requests and watches, each with a signal, a time limit and a bound. Where the API is and who we are
 * there is `@kubernetes/client-node`'s to know (the service account with its rotating token, or a kubeconfig); its own
 * requests open a connection each, and its watch passes over what it cannot parse.
 */
export interface KubernetesApi extends AsyncDisposable {
  /** Namespace of the service account, or of the kubeconfig's context. */
  readonly namespace: string;
  /** @throws ApiError; the signal's reason; what the connection failed with */
  ask(request: ApiRequest, signal: AbortSignal): Promise<unknown>;
  /** Ends when the server ends it. @throws ApiError, also for an ERROR in the stream; the signal's reason */
  watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent>;
}

/**
 * Finds the API by the process' surroundings. The client is loaded here and not before: it takes about 90 MB.
 * @param kubeconfig instead of the surroundings, as text
 */
export async function connectKubernetes(kubeconfig?: string): Promise<KubernetesApi> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromString(kubeconfig);
  return new ConfiguredApi(config);
}

class ConfiguredApi implements KubernetesApi {
  readonly namespace: string;
  readonly #config: KubeConfig;
  /** Connections by what they trust and prove: both change when an authority is rotated. */
  #connections: { readonly key: string; readonly agent: Agent } | undefined;

  constructor(config: KubeConfig) {
    this.#config = config;
    this.namespace = config.getContextObject(config.getCurrentContext())?.namespace ?? 'default';
  }

  async ask(asked: ApiRequest, signal: AbortSignal): Promise<unknown> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    try {
      const response = await this.#send(asked, REQUEST_TIMEOUT_MS, limit);
      return await parsed(response, `${asked.method} ${asked.path}`);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  async *watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent> {
    const asked = { method: 'GET', path, query: { ...query, watch: 'true' } } as const;
    const ended = new AbortController();
    try {
      const response = await this.#send(asked, WATCH_SILENCE_MS, AbortSignal.any([signal, ended.signal]));
      if (response.statusCode !== 200) await parsed(response, `watch ${path}`);
      for await (const line of readLines(response.body, MAX_EVENT_BYTES)) yield eventOf(line, path);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      ended.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections?.agent.destroy();
  }

  async #send(
    { method, path, query, body, patch }: ApiRequest,
    silenceMs: number,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const server = this.#config.getCurrentCluster()?.server;
    if (server === undefined) throw new Error('no Kubernetes API is configured for this process');
    const url = new URL(`${server.replace(/\/$/u, '')}${path}`);
    for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    return this.#agent(options).request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      headers: {
        ...textsOf(options.headers ?? {}),
        ...(typeof options.auth === 'string' && { authorization: basic(options.auth) }),
        accept: 'application/json',
        ...(body !== undefined && {
          'content-type': patch === undefined ? 'application/json' : PATCH_TYPES[patch],
        }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      headersTimeout: REQUEST_TIMEOUT_MS,
      bodyTimeout: silenceMs,
      signal,
    });
  }

  #agent({ ca, cert, key, servername, rejectUnauthorized }: RequestOptions): Agent {
    const trust = { ca, cert, key, servername, rejectUnauthorized };
    const fingerprint = createHash('sha256').update(JSON.stringify(trust)).digest('base64');
    if (this.#connections?.key === fingerprint) return this.#connections.agent;
    const old = this.#connections?.agent;
    const known = Object.fromEntries(Object.entries(trust).filter(([, value]) => value !== undefined));
    const connect = { ...known, timeout: CONNECT_TIMEOUT_MS, keepAliveInitialDelay: 30_000 };
    // In HTTP/2 a reset connection would be an error that nobody can catch, and all watches would share its window.
    const agent = new Agent({ connect, allowH2: false });
    this.#connections = { key: fingerprint, agent };
    // What runs on the old connections may end there.
    old?.close().catch(() => undefined);
    return agent;
  }
}

const CONNECT_TIMEOUT_MS = 5000;

function textsOf(headers: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

function basic(userAndPassword: string): string {
  return `Basic ${Buffer.from(userAndPassword).toString('base64')}`;
}

/** @throws ApiError for what is no 2xx */
async function parsed(response: Dispatcher.ResponseData, what: string): Promise<unknown> {
  const text = (await readBody(response.body, MAX_ANSWER_BYTES)).toString('utf8');
  const isGood = response.statusCode >= 200 && response.statusCode < 300;
  let value: unknown;
  try {
    value = text === '' ? undefined : JSON.parse(text);
  } catch {
    if (isGood) throw new ApiError(what, { status: 502, reason: '', message: 'the answer is not JSON' });
  }
  if (!isGood) throw errorOfStatus(what, value, response.statusCode);
  return value;
}

/** @throws ApiError for an event that tells of one */
function eventOf(line: string, path: string): WatchEvent {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string')
    throw new Error(`watch ${path}: an event without a type`);
  const object: unknown = 'object' in value ? value.object : undefined;
  if (value.type === 'ERROR') throw errorOfStatus(`watch ${path}`, object, 500);
  return { type: value.type, object };
}

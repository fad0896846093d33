import { createHash } from 'node:crypto';
import type { BearerChallenge } from './challenge.ts';
import type { Credential } from './credentials.ts';
import * as defaults from './defaults.ts';
import { isJsonObject } from './json-object.ts';
import { redactUrl } from './redact.ts';
import { readBody, readErrorBody } from './response-body.ts';
import type { Transport, TransportAnswer, TransportRequest } from './transport.ts';
import { UpstreamProtocolError } from './upstream-error.ts';

/** The token endpoint does not give a token for this credential and scope. */
export class TokenRefusedError extends Error {
  override readonly name = 'TokenRefusedError';
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** What a token is good for: `scope` may list several, parted by spaces. */
export interface TokenQuery {
  readonly realm: URL;
  readonly service?: string;
  readonly scope: string;
  readonly credential?: Credential;
}

interface CachedToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

const CLIENT_ID = 'shoal';
// RFC 6750, 2.1 b64token; registries also send characters beyond it, so any visible one is taken.
const TOKEN = /^[\u{21}-\u{7e}]+$/u;

/**
 * Bearer tokens by the docker token specification: GET of the realm, with Basic where there is a password;
 * POST by OAuth 2 where there is an identity token. Kept per realm, service, scope and credential until they
 * expire; callers that want the same token at one time share one request.
 */
export class TokenSource implements AsyncDisposable {
  readonly #transport: Transport;
  readonly #entries: number;
  readonly #tokens = new Map<string, CachedToken>();
  readonly #pending = new Map<string, Promise<string>>();
  readonly #stopped = new AbortController();

  constructor(parts: { transport: Transport }, options: { readonly tokenCacheEntries?: number } = {}) {
    this.#transport = parts.transport;
    this.#entries = options.tokenCacheEntries ?? defaults.TOKEN_CACHE_ENTRIES;
  }

  /**
   * @throws TokenRefusedError, UpstreamUnreachableError, UpstreamProtocolError, the signal's reason
   */
  async get(query: TokenQuery, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const key = cacheKey(query);
    const cached = this.#tokens.get(key);
    if (cached !== undefined && cached.expiresAtMs > this.#transport.now()) return cached.token;
    return withSignal(this.#pending.get(key) ?? this.#start(key, query), signal);
  }

  /** Drops a token that the registry did not take; one that came after it is kept. */
  forget(query: TokenQuery, token: string): void {
    const key = cacheKey(query);
    if (this.#tokens.get(key)?.token === token) this.#tokens.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new Error('the token source is closed'));
    this.#tokens.clear();
    await Promise.allSettled(this.#pending.values());
  }

  /** Runs apart from any one caller, so that one who leaves takes nothing from the others; the time-outs bound it. */
  #start(key: string, query: TokenQuery): Promise<string> {
    const pending = this.#exchange(key, query).finally(() => this.#pending.delete(key));
    this.#pending.set(key, pending);
    return pending;
  }

  async #exchange(key: string, query: TokenQuery): Promise<string> {
    const answer = await this.#transport.send(tokenRequest(query), this.#stopped.signal);
    const where = redactUrl(query.realm);
    if (answer.status >= 300) {
      await readErrorBody(answer.body, defaults.ERROR_BODY_LIMIT, defaults.ERROR_BODY_TIMEOUT_MS);
      throw new TokenRefusedError(`the token endpoint ${where} answered ${answer.status}`, answer.status);
    }
    const { token, lifeSeconds } = parseToken(await tokenBody(answer, where), where);
    this.#remember(key, { token, expiresAtMs: this.#transport.now() + usableMs(lifeSeconds) });
    return token;
  }

  #remember(key: string, token: CachedToken): void {
    this.#tokens.delete(key);
    this.#tokens.set(key, token);
    for (const oldest of this.#tokens.keys()) {
      if (this.#tokens.size <= this.#entries) return;
      this.#tokens.delete(oldest);
    }
  }
}

/** What a challenge asks a token for. */
export function tokenQuery(challenge: BearerChallenge, scope: string, credential?: Credential): TokenQuery {
  return {
    realm: challenge.realm,
    scope: challenge.scope ?? scope,
    ...(challenge.service !== undefined && { service: challenge.service }),
    ...(credential !== undefined && { credential }),
  };
}

/** The Authorization value of a Basic credential (RFC 7617). */
export function basicAuthorization({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}

function tokenRequest(query: TokenQuery): TransportRequest {
  const { credential } = query;
  if (credential?.kind === 'identity-token') return refreshRequest(query, credential.token);
  const url = new URL(query.realm);
  if (query.service !== undefined) url.searchParams.append('service', query.service);
  for (const scope of query.scope.split(' ')) url.searchParams.append('scope', scope);
  if (credential !== undefined) url.searchParams.append('account', credential.username);
  const authorization = credential === undefined ? {} : { authorization: basicAuthorization(credential) };
  return { purpose: 'token', method: 'GET', url, headers: { accept: 'application/json' }, ...authorization };
}

function refreshRequest(query: TokenQuery, refreshToken: string): TransportRequest {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    client_id: CLIENT_ID,
    scope: query.scope,
    ...(query.service !== undefined && { service: query.service }),
  });
  return {
    purpose: 'token',
    method: 'POST',
    url: query.realm,
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  };
}

async function tokenBody(answer: TransportAnswer, where: string): Promise<Buffer> {
  try {
    return await readBody(answer.body, defaults.TOKEN_BODY_LIMIT);
  } catch (cause) {
    throw new UpstreamProtocolError(`the token endpoint ${where} broke off or sent too much`, { cause });
  }
}

function parseToken(body: Buffer, where: string): { token: string; lifeSeconds: number } {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    // The parser's message would quote the token.
    throw new UpstreamProtocolError(`the token endpoint ${where} sent no JSON`);
  }
  const members = isJsonObject(value) ? value : {};
  const token = [members['token'], members['access_token']].find(
    (text) => typeof text === 'string' && TOKEN.test(text),
  );
  if (typeof token !== 'string') throw new UpstreamProtocolError(`the token endpoint ${where} sent no token`);
  const life = members['expires_in'];
  const known = typeof life === 'number' && Number.isFinite(life) && life > 0;
  return {
    token,
    lifeSeconds: Math.min(defaults.TOKEN_LIFE_CAP_SECONDS, known ? life : defaults.TOKEN_LIFE_SECONDS),
  };
}

/** A token is put away before its end: a request that starts with it must also arrive with it. */
function usableMs(lifeSeconds: number): number {
  return (lifeSeconds - Math.min(10, lifeSeconds / 5)) * 1000;
}

/** No credential stays in memory as a key. */
function cacheKey({ realm, service, scope, credential }: TokenQuery): string {
  return createHash('sha256')
    .update(JSON.stringify([realm.href, service ?? null, scope, credential ?? null]))
    .digest('base64');
}

async function withSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

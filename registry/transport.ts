import * as defaults from './defaults.ts';
import { exchange, type Exchange, type ExchangeRequest, headerValue } from './exchange.ts';
import type { Hosts } from './hosts.ts';
import { describeError, quote, redactText, redactUrl } from './redact.ts';
import { type OciErrorCode, parseOciErrors } from './oci-error.ts';
import { readErrorBody } from './response-body.ts';
import {
  type Backoff,
  backoffMs,
  isTemporaryError,
  isTemporaryStatus,
  parseRetryAfter,
  pause,
} from './retry.ts';
import { UpstreamProtocolError, UpstreamUnreachableError } from './upstream-error.ts';

/** What a request is for: low in number, fit for a metric's label. */
export type Purpose = 'manifest' | 'blob' | 'list' | 'token';

export interface TransportOptions {
  readonly headersTimeoutMs?: number;
  readonly bodyIdleTimeoutMs?: number;
  readonly bodyBufferBytes?: number;
  readonly attempts?: number;
  readonly backoffBaseMs?: number;
  readonly backoffCapMs?: number;
  readonly retryAfterCapMs?: number;
  readonly redirects?: number;
  /** From 0 up to 1, for jitter. */
  readonly random?: () => number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Told of each request that was sent: the answer's status, or undefined where none came. */
  readonly onExchange?: (event: { purpose: Purpose; method: string; status: number | undefined }) => void;
}

export interface TransportRequest extends ExchangeRequest {
  readonly purpose: Purpose;
  /** Goes to the URL's own origin only. */
  readonly authorization?: string;
  /** Requests for this call, instead of the option. */
  readonly attempts?: number;
}

/** A final answer: no redirect, no 5xx, not to be tried again. */
export interface TransportAnswer extends Exchange {
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** True where another origin than the asked one answered: its 401 and 403 are not the registry's. */
  readonly redirected: boolean;
  /** Headers of the asked origin: its redirect's where there was one. */
  readonly firstHeaders: Exchange['headers'];
}

/** What an agent says of a registry that sends other bytes than the digest names, whatever the status: it would send them again. */
const WRONG_CONTENT: OciErrorCode = 'DIGEST_INVALID';

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/**
 * Requests with what they need to get through: redirects followed by hand, attempts with backoff and
 * Retry-After, no credential across origins, no plain HTTP that was not asked for, no content encoding.
 */
export class Transport {
  readonly #hosts: Hosts;
  readonly #options: TransportOptions;
  readonly #limits;
  readonly backoff: Backoff;

  constructor(parts: { hosts: Hosts }, options: TransportOptions = {}) {
    this.#hosts = parts.hosts;
    this.#options = options;
    this.#limits = {
      headersTimeoutMs: options.headersTimeoutMs ?? defaults.HEADERS_TIMEOUT_MS,
      bodyIdleTimeoutMs: options.bodyIdleTimeoutMs ?? defaults.BODY_IDLE_TIMEOUT_MS,
      bodyBufferBytes: options.bodyBufferBytes ?? defaults.BODY_BUFFER_BYTES,
    };
    this.backoff = {
      baseMs: options.backoffBaseMs ?? defaults.BACKOFF_BASE_MS,
      capMs: options.backoffCapMs ?? defaults.BACKOFF_CAP_MS,
      random: options.random ?? Math.random,
    };
  }

  now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /**
   * @throws UpstreamUnreachableError, UpstreamProtocolError, the signal's reason
   */
  async send(request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer> {
    const attempts = request.attempts ?? this.#options.attempts ?? defaults.ATTEMPTS;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#attempt(request, signal);
      } catch (error) {
        const waitMs = this.#retryDelayMs(error, attempt, attempts);
        if (waitMs === undefined) throw error;
        await pause(waitMs, signal);
      }
    }
  }

  /** How long to wait before another attempt; undefined where none is to be made. */
  #retryDelayMs(error: unknown, attempt: number, attempts: number): number | undefined {
    if (!(error instanceof UpstreamUnreachableError) || !error.temporary || attempt >= attempts)
      return undefined;
    const askedMs = (error.retryAfterSeconds ?? 0) * 1000;
    if (askedMs > (this.#options.retryAfterCapMs ?? defaults.RETRY_AFTER_CAP_MS)) return undefined;
    return Math.max(askedMs, backoffMs(attempt, this.backoff));
  }

  async #attempt(request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer> {
    const answer = await this.#follow(request, signal);
    const { status, headers, body, url } = answer;
    if (status >= 500 || isTemporaryStatus(status)) {
      const [told] = parseOciErrors(await discard(answer));
      const why = told === undefined ? '' : `: ${redactText(`${told.code} ${told.message ?? ''}`, 500)}`;
      const retryAfterSeconds = parseRetryAfter(headerValue(headers, 'retry-after'), this.now());
      throw new UpstreamUnreachableError(`${url.host} answered ${status}${why}`, {
        status,
        host: url.host,
        temporary: isTemporaryStatus(status) && told?.code !== WRONG_CONTENT,
        ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      });
    }
    const broken = status < 300 ? encodingFault(answer) : status < 400 ? `answered ${status}` : undefined;
    if (broken === undefined) return answer;
    body.cancel();
    throw new UpstreamProtocolError(`${redactUrl(url)}: ${broken}`);
  }

  async #follow(request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer> {
    const most = this.#options.redirects ?? defaults.REDIRECTS;
    let { url, authorization } = request;
    let firstHeaders: Exchange['headers'] | undefined;
    let redirected = false;
    for (let hops = 0; ; hops += 1) {
      const answer = await this.#exchange({ ...request, url }, authorization, signal);
      if (!redirected) firstHeaders = answer.headers;
      const location = headerValue(answer.headers, 'location');
      if (!REDIRECTS.has(answer.status) || location === undefined) {
        return { ...answer, url, redirected, firstHeaders: firstHeaders ?? answer.headers };
      }
      await discard(answer);
      if (request.method === 'POST') throw new UpstreamProtocolError(`${redactUrl(url)} redirects a POST`);
      if (hops === most)
        throw new UpstreamProtocolError(`${redactUrl(request.url)}: more than ${most} redirects`);
      const next = this.#nextHop(url, location);
      // Once on another origin the credential stays away, also if that origin points back.
      if (next.origin !== url.origin) {
        authorization = undefined;
        redirected = true;
      }
      url = next;
    }
  }

  #nextHop(from: URL, location: string): URL {
    const next = URL.parse(location, from);
    if (next === null)
      throw new UpstreamProtocolError(
        `${redactUrl(from)} redirects to no URL: ${quote(redactText(location))}`,
      );
    if (this.#hosts.allows(next)) return next;
    throw new UpstreamProtocolError(
      `${redactUrl(from)} redirects to ${redactUrl(next)}: plain HTTP is for hosts named with plainHttp`,
      { plainHost: next.host },
    );
  }

  async #exchange(
    request: TransportRequest,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<Exchange> {
    const { url, method, purpose } = request;
    if (!this.#hosts.allows(url)) {
      throw new UpstreamProtocolError(`${redactUrl(url)}: plain HTTP is for hosts named with plainHttp`, {
        plainHost: url.host,
      });
    }
    const headers = {
      'accept-encoding': 'identity',
      'user-agent': 'shoal',
      ...request.headers,
      ...(authorization !== undefined && { authorization }),
    };
    try {
      const dispatcher = this.#hosts.dispatcher(url);
      const explain = (cause: unknown): Error => unreachable(url, cause);
      const answer = await exchange(dispatcher, { ...request, headers }, this.#limits, signal, explain);
      this.#options.onExchange?.({ purpose, method, status: answer.status });
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      this.#options.onExchange?.({ purpose, method, status: undefined });
      throw error;
    }
  }
}

/** Reads a short body to its end, so that the connection serves the next request. */
export async function discard({ body }: Exchange): Promise<Buffer> {
  return readErrorBody(body, defaults.ERROR_BODY_LIMIT, defaults.ERROR_BODY_TIMEOUT_MS);
}

/** A socket's or undici's error as one of ours, which names the host and nothing of the request. */
function unreachable(url: URL, cause: unknown): UpstreamUnreachableError {
  return new UpstreamUnreachableError(`${url.host}: ${describeError(cause)}`, {
    cause,
    host: url.host,
    temporary: isTemporaryError(cause),
  });
}

function encodingFault({ headers }: Exchange): string | undefined {
  const encoding = headerValue(headers, 'content-encoding')?.trim().toLowerCase() ?? '';
  return encoding === '' || encoding === 'identity'
    ? undefined
    : `the body is encoded (${quote(encoding, 40)}) though identity was asked for`;
}

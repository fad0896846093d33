import type { Dispatcher } from 'undici';
import { ResponseBody } from './response-body.ts';

/** Header names in lower case; several lines of one name as an array. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface ExchangeRequest {
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ExchangeLimits {
  readonly headersTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  readonly bodyBufferBytes: number;
}

/** An answer: the body is read, or cancelled, by whoever has it. */
export interface Exchange {
  readonly status: number;
  readonly headers: ResponseHeaders;
  readonly body: ResponseBody;
}

/**
 * One request and its answer, with no redirect, no retry and no decoding.
 * When the signal aborts, before the headers or in the body, its reason is thrown there.
 * @throws what `explain` makes of undici's or the socket's error, in the body too
 */
export async function exchange(
  dispatcher: Dispatcher,
  request: ExchangeRequest,
  limits: ExchangeLimits,
  signal: AbortSignal,
  explain: (cause: unknown) => Error,
): Promise<Exchange> {
  signal.throwIfAborted();
  const handler = new ExchangeHandler(limits.bodyBufferBytes, signal, explain);
  try {
    dispatcher.dispatch(
      {
        origin: request.url.origin,
        path: `${request.url.pathname}${request.url.search}`,
        method: request.method,
        headers: { ...request.headers },
        body: request.body ?? null,
        headersTimeout: limits.headersTimeoutMs,
        bodyTimeout: limits.bodyIdleTimeoutMs,
      },
      handler,
    );
  } catch (error) {
    handler.onResponseError(undefined, error);
  }
  return handler.answer;
}

/** Undici's side of an exchange. */
class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #answer = Promise.withResolvers<Exchange>();
  readonly #signal: AbortSignal;
  readonly #limit: number;
  readonly #explain: (cause: unknown) => Error;
  readonly #onAbort = (): void => this.#abort();
  #controller: Dispatcher.DispatchController | undefined;
  #body: ResponseBody | undefined;

  constructor(limit: number, signal: AbortSignal, explain: (cause: unknown) => Error) {
    this.#limit = limit;
    this.#explain = explain;
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get answer(): Promise<Exchange> {
    return this.#answer.promise;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) controller.abort(new Error('aborted'));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: ResponseHeaders): void {
    if (status < 200) return;
    this.#body = new ResponseBody(
      {
        pause: () => controller.pause(),
        resume: () => controller.resume(),
        abort: (reason) => {
          this.#release();
          controller.abort(reason);
        },
      },
      this.#limit,
    );
    this.#answer.resolve({ status, headers, body: this.#body });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body?.push(chunk);
  }

  onResponseEnd(): void {
    this.#release();
    this.#body?.end();
  }

  onResponseError(_controller: unknown, cause: unknown): void {
    this.#release();
    this.#fail(this.#explain(cause));
  }

  /** The caller learns of it at once, also while the connection is still being made. */
  #abort(): void {
    this.#fail(this.#signal.reason);
    this.#controller?.abort(new Error('aborted'));
  }

  #fail(error: unknown): void {
    if (this.#body === undefined) this.#answer.reject(error);
    else this.#body.fail(error);
  }

  #release(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

/** The values of a header, one per line of it. */
export function headerValues(headers: ResponseHeaders, name: string): string[] {
  const value = headers[name];
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

/** The value of a header that has one line; of several, the first. */
export function headerValue(headers: ResponseHeaders, name: string): string | undefined {
  return headerValues(headers, name)[0];
}

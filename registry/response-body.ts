import { BODY_BUFFER_CHUNKS } from './defaults.ts';

/** The end of the wire that a body steers. */
export interface BodySource {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** A body that was cancelled by its reader. */
class BodyCancelledError extends Error {
  override readonly name = 'BodyCancelledError';
}

/**
 * A response body: an async iterable of the very buffers that came off the socket, each once and uncopied
 * (a Node Readable joins what is waiting into a new buffer). The socket is paused while more than the limit
 * waits here. It is read once, by one reader; a reader that stops early calls `cancel` or breaks its loop.
 */
export class ResponseBody implements AsyncIterableIterator<Buffer, undefined, undefined> {
  readonly #source: BodySource;
  readonly #limit: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #paused = false;
  #ended = false;
  #error: unknown;
  #waiting: PromiseWithResolvers<IteratorResult<Buffer, undefined>> | undefined;

  constructor(source: BodySource, limit: number) {
    this.#source = source;
    this.#limit = limit;
  }

  /** True once the whole body arrived or it was cancelled or failed; chunks may still wait to be read. */
  get ended(): boolean {
    return this.#ended;
  }

  push(chunk: Buffer): void {
    if (this.#ended || chunk.length === 0) return;
    if (this.#waiting !== undefined) {
      this.#settle()?.resolve({ done: false, value: chunk });
      return;
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (!this.#paused && (this.#bytes >= this.#limit || this.#chunks.length >= BODY_BUFFER_CHUNKS)) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  end(): void {
    this.#ended = true;
    this.#settle()?.resolve({ done: true, value: undefined });
  }

  /** What waits is still read; the error comes after it. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    const waiting = this.#settle();
    if (waiting === undefined) this.#error = error;
    else waiting.reject(error);
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#bytes -= chunk.length;
      if (this.#paused && this.#bytes <= this.#limit / 2 && this.#chunks.length <= BODY_BUFFER_CHUNKS / 2) {
        this.#paused = false;
        this.#source.resume();
      }
      return { done: false, value: chunk };
    }
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      throw error;
    }
    if (this.#ended) return { done: true, value: undefined };
    if (this.#waiting !== undefined) throw new TypeError('a response body has one reader');
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  /** Drops what waits and, if the body is not whole yet, cuts the connection. */
  cancel(): void {
    this.#chunks = [];
    this.#bytes = 0;
    this.#error = undefined;
    if (this.#ended) return;
    this.end();
    this.#source.abort(new BodyCancelledError('the response body was cancelled'));
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    this.cancel();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
  }

  #settle(): PromiseWithResolvers<IteratorResult<Buffer, undefined>> | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }
}

/** A body that is longer than its reader takes. */
export class BodyTooLongError extends Error {
  override readonly name = 'BodyTooLongError';
}

/**
 * The whole body, if it has at most `limit` bytes; else no more of it is read, and a `ResponseBody` is cancelled.
 * @throws BodyTooLongError, and what the body's iteration throws
 */
export async function readBody(body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > limit)
      throw new BodyTooLongError(`the answer has more than the ${limit} bytes that are read of it`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** What a body has to say within `limit` bytes and `timeoutMs`; the rest is cut off. Never throws. */
export async function readErrorBody(body: ResponseBody, limit: number, timeoutMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let room = limit;
  const timer = setTimeout(() => body.cancel(), timeoutMs);
  try {
    for await (const chunk of body) {
      chunks.push(chunk.subarray(0, room));
      room -= chunk.length;
      if (room <= 0) break;
    }
  } catch {
    // A broken error body says as much as arrived of it.
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

import type { Dispatcher } from 'undici';

import { describeKeyMismatch } from './key-mismatch.ts';
import { MAX_ANSWER_BYTES } from './messages.ts';

/** No tracker gave a usable answer. */
export class TrackerUnreachableError extends Error {
  override readonly name = 'TrackerUnreachableError';
}

/** Where the trackers are. They may change. */
export interface TrackerList {
  /** Each `host:port`, in order of preference and in the same order on all nodes: a cluster must meet at one. */
  readonly current: readonly string[];
  /** Calls the listener after each change, until what is returned is disposed. */
  onChange(listener: () => void): Disposable;
}

export interface TrackerClientParts {
  readonly dispatcher: Dispatcher;
  readonly trackers: TrackerList;
  /** TLS, by what the dispatcher proves. */
  readonly secure: boolean;
}

/** What an answer must look like; a compiled typebox schema is one. */
interface AnswerShape<A> {
  Check(value: unknown): value is A;
}

export interface Question<A> {
  readonly method: 'POST' | 'DELETE';
  readonly path: string;
  readonly body: unknown;
  /** An answer without a body is null. */
  readonly answer: AnswerShape<A>;
  readonly timeoutMs: number;
  /** Sent to a tracker that did not answer in time: it may have taken the question all the same. */
  readonly undo?: Pick<Question<unknown>, 'method' | 'path' | 'body'>;
}

/** Asks trackers over HTTP, one of them at a time, and checks what they say. */
export class TrackerClient {
  readonly #parts: TrackerClientParts;
  #names: readonly string[] = [];
  #origins: readonly string[] = [];
  #current = 0;

  /** @throws TypeError for a tracker that is not `host:port` */
  constructor(parts: TrackerClientParts) {
    this.#parts = parts;
    this.refresh();
  }

  /**
   * Takes the list as it is now.
   * @returns whether the tracker in use is another one: it is kept where it is still named, else the first is taken
   * @throws TypeError for a tracker that is not `host:port`
   */
  refresh(): boolean {
    const before = this.#names[this.#current];
    this.#names = this.#parts.trackers.current;
    this.#origins = this.#names.map((tracker) => originOf(tracker, this.#parts.secure));
    const at = before === undefined ? -1 : this.#names.indexOf(before);
    this.#current = Math.max(0, at);
    return at === -1;
  }

  get trackers(): number {
    return this.#origins.length;
  }

  /** Position of the tracker in use; 0 is the preferred one. */
  get current(): number {
    return this.#current;
  }

  get currentName(): string {
    return this.#names[this.#current] ?? 'none';
  }

  use(position: number): void {
    this.#current = position % Math.max(1, this.#origins.length);
  }

  /** @throws TrackerUnreachableError; the signal's reason once it is aborted */
  ask<A>(question: Question<A>, signal: AbortSignal): Promise<A> {
    return this.askAt(this.#current, question, signal);
  }

  /** Asks the tracker in use and, if it fails, each of the others once. */
  async askAny<A>(question: Question<A>, signal: AbortSignal): Promise<A> {
    let failure: unknown = new TrackerUnreachableError('no tracker is configured');
    for (let turn = 0; turn < this.#origins.length; turn++) {
      try {
        return await this.askAt((this.#current + turn) % this.#origins.length, question, signal);
      } catch (error) {
        signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }

  async askAt<A>(position: number, question: Question<A>, signal: AbortSignal): Promise<A> {
    const origin = this.#origins[position];
    if (origin === undefined) throw new TrackerUnreachableError('no tracker is configured');
    const limit = AbortSignal.any([signal, AbortSignal.timeout(question.timeoutMs)]);
    try {
      const value = await this.#exchange(origin, question, limit);
      if (!question.answer.Check(value)) throw new TrackerUnreachableError('its answer is malformed');
      return value;
    } catch (error) {
      if (limit.aborted) this.#undo(origin, question);
      signal.throwIfAborted();
      const reason = describeKeyMismatch(error) ?? (error instanceof Error ? error.message : String(error));
      throw new TrackerUnreachableError(`tracker ${this.#names[position] ?? 'none'}: ${reason}`, {
        cause: error,
      });
    }
  }

  #undo(origin: string, { undo, timeoutMs }: Question<unknown>): void {
    if (undo === undefined) return;
    this.#exchange(origin, undo, AbortSignal.timeout(timeoutMs)).catch(() => undefined);
  }

  async #exchange(
    origin: string,
    question: Pick<Question<unknown>, 'method' | 'path' | 'body'>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { statusCode, body } = await this.#parts.dispatcher.request({
      origin,
      path: question.path,
      method: question.method,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(question.body),
      signal,
    });
    const text = await readText(body, MAX_ANSWER_BYTES);
    if (statusCode !== 200 && statusCode !== 204)
      throw new TrackerUnreachableError(`it answered status ${statusCode}`);
    return statusCode === 204 ? null : (JSON.parse(text) as unknown);
  }
}

function originOf(tracker: string, secure: boolean): string {
  const url = URL.parse(`${secure ? 'https' : 'http'}://${tracker}`);
  if (url === null || url.host === '' || url.pathname !== '/' || tracker.includes('@')) {
    throw new TypeError(`tracker "${tracker}" is malformed: host:port is expected`);
  }
  return url.origin;
}

/** Throws for more than `max` bytes; leaving the loop destroys the body. */
async function readText(body: AsyncIterable<Buffer>, max: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > max) throw new TrackerUnreachableError(`its answer is longer than ${max} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

import * as defaults from './defaults.ts';
import { formatRange } from './range.ts';
import { describeError } from './redact.ts';
import type { ResponseBody } from './response-body.ts';
import { type Backoff, backoffMs, pause } from './retry.ts';
import {
  type Authorization,
  type DeliveredBody,
  type GetResult,
  type HeadResult,
  resultError,
  type Target,
} from './upstream-answer.ts';
import { UpstreamProtocolError, UpstreamRefusedError, UpstreamUnreachableError } from './upstream-error.ts';

/** Where a blob is read from: `Upstream`. */
export interface BlobSource {
  head(target: Target, auth: Authorization, signal: AbortSignal): Promise<HeadResult>;
  get(
    target: Target,
    auth: Authorization,
    signal: AbortSignal,
    options: { readonly range?: string; readonly attempts?: number },
  ): Promise<GetResult>;
}

/** The body broke, or a resume failed; another is tried after a pause. */
export interface ResumeEvent {
  /** Position in the blob where the read stands. */
  readonly offset: number;
  /** Tries since the last progress, this one included. */
  readonly attempt: number;
  /** Why the last try failed. */
  readonly cause: unknown;
}

export interface BlobReadOptions {
  /** First byte, default 0. */
  readonly start?: number;
  /** Last byte, inclusive; default, and at most, the blob's last. */
  readonly end?: number;
  readonly onResume?: (event: ResumeEvent) => void;
  /**
   * Asked when a resume is refused with 401 or 403: another Authorization value to go on with, undefined to go
   * on without one, null when there is none left.
   */
  readonly nextAuthorization?: () => string | undefined | null | Promise<string | undefined | null>;
  readonly resumeAttempts?: number;
  readonly resumePatienceMs?: number;
}

export interface BlobReadSettings extends BlobReadOptions {
  readonly backoff: Backoff;
  readonly now: () => number;
}

/** A blob whose headers are there. */
export interface OpenBlob {
  /** Of the whole blob. */
  readonly size: number;
  readonly mediaType?: string;
  /** The bytes asked for, each once and in order. */
  readonly body: BlobRead;
}

/** One answer's body and which bytes of the blob it holds. */
interface Section {
  readonly body: ResponseBody;
  /** Position of the body's next byte. */
  at: number;
  /** Position after the body's last byte, as announced. */
  readonly until: number;
}

/**
 * A read of a blob that survives broken bodies: it goes on by Range from the byte where it stands (RFC 9110,
 * 14.2), and where the upstream ignores Range, passes over what it has. An async iterable of buffers for one
 * reader, who reads to the end, breaks the loop or calls `cancel`. It fails with `UpstreamRefusedError`,
 * `UpstreamUnreachableError`, `UpstreamProtocolError` or the signal's reason.
 */
export class BlobRead implements AsyncIterableIterator<Buffer, undefined, undefined> {
  readonly #upstream: BlobSource;
  readonly #target: Target;
  readonly #signal: AbortSignal;
  readonly #settings: BlobReadSettings;
  #auth: Authorization;
  #size: number | undefined;
  #section: Section | undefined;
  #done = false;
  /** The next byte to give out, and the last. */
  #position: number;
  #last = Infinity;
  /** Tries since the last progress, and where and when that was. */
  #stalled = 0;
  #progressAt: number;
  #progressMs = 0;

  constructor(
    parts: { upstream: BlobSource },
    target: Target,
    auth: Authorization,
    signal: AbortSignal,
    settings: BlobReadSettings,
  ) {
    const { start = 0, end = Infinity } = settings;
    if (!Number.isSafeInteger(start) || start < 0 || !(end >= start)) {
      throw new RangeError(`bytes ${start} to ${end} are no range: 0 ≤ start ≤ end is allowed`);
    }
    this.#upstream = parts.upstream;
    this.#target = target;
    this.#auth = auth;
    this.#signal = signal;
    this.#settings = settings;
    this.#position = start;
    this.#progressAt = start;
  }

  /** Asks the upstream and waits for the headers. */
  async open(): Promise<OpenBlob> {
    if (this.#section !== undefined || this.#done) throw new TypeError('a blob read is opened once');
    const { result, section, size } = await this.#request({});
    if (this.#position > 0 && this.#position >= size) {
      section.body.cancel();
      throw new UpstreamRefusedError(this.#target.registry, {
        status: 416,
        challenges: [],
        errors: [{ code: 'RANGE_INVALID', message: 'the blob has no byte there' }],
      });
    }
    this.#section = section;
    this.#size = size;
    this.#last = Math.min(this.#settings.end ?? Infinity, size - 1);
    this.#progressMs = this.#settings.now();
    return { size, body: this, ...(result.mediaType !== undefined && { mediaType: result.mediaType }) };
  }

  /** Where upstream has ignored the range and sends the whole blob, its bytes after the last one asked for are read too. */
  takeAllSent(): void {
    const until = this.#section?.until;
    if (until !== undefined && until === this.#size) this.#last = until - 1;
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#done) return { done: true, value: undefined };
    try {
      if (this.#section === undefined) await this.open();
      const value = await this.#read();
      if (value !== undefined) return { done: false, value };
    } catch (error) {
      this.cancel();
      throw error;
    }
    this.cancel();
    return { done: true, value: undefined };
  }

  /** Ends the read. A body that is not whole takes its connection with it. */
  cancel(): void {
    this.#done = true;
    this.#section?.body.cancel();
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    this.cancel();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #read(): Promise<Buffer | undefined> {
    while (this.#position <= this.#last) {
      const section = this.#section!;
      let result: IteratorResult<Buffer, undefined>;
      try {
        result = await section.body.next();
      } catch (error) {
        await this.#resume(error);
        continue;
      }
      if (result.done === true) {
        await this.#resume(new UpstreamUnreachableError(`${this.#target.registry}: the body ended early`));
        continue;
      }
      const chunk = this.#take(section, result.value);
      if (chunk.length > 0) return chunk;
    }
    await this.#expectEnd(this.#section!);
    return undefined;
  }

  /** The part of a chunk that is still wanted. */
  #take(section: Section, chunk: Buffer): Buffer {
    const from = section.at;
    section.at += chunk.length;
    if (section.at > section.until) throw this.#surplus();
    const part = chunk.subarray(Math.max(0, this.#position - from), this.#last + 1 - from);
    this.#position += part.length;
    return part;
  }

  /** A body without a length of its own may hold more than was announced; one that is only trimmed here is cut. */
  async #expectEnd({ body, at, until }: Section): Promise<void> {
    if (body.ended || at < until) return;
    const rest = await body.next().catch(() => undefined);
    if (rest?.done === false) throw this.#surplus();
  }

  async #resume(broken: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    const whole = this.#section!.at === this.#section!.until;
    const progressed = this.#noteProgress();
    let cause = broken;
    let authorizations = 0;
    let waitMs = whole && progressed ? 0 : undefined;
    for (;;) {
      this.#stalled += 1;
      const delayMs = waitMs ?? this.#delayMs(cause);
      this.#checkPatience(cause, delayMs);
      waitMs = undefined;
      this.#settings.onResume?.({ offset: this.#position, attempt: this.#stalled, cause });
      await pause(delayMs, this.#signal);
      try {
        this.#section = (await this.#request({ attempts: 1 })).section;
        return;
      } catch (error) {
        if (error instanceof UpstreamUnreachableError && error.temporary) cause = error;
        else if ((authorizations += 1) > defaults.RESUME_AUTHORIZATIONS || !(await this.#reauthorize(error)))
          throw error;
        else waitMs = 0;
      }
    }
  }

  /** A few bytes between two cuts are none: else an upstream could keep a read alive for ever. */
  #noteProgress(): boolean {
    if (this.#position - this.#progressAt < defaults.RESUME_PROGRESS_BYTES) return false;
    this.#stalled = 0;
    this.#progressAt = this.#position;
    this.#progressMs = this.#settings.now();
    return true;
  }

  #delayMs(cause: unknown): number {
    const askedMs = cause instanceof UpstreamUnreachableError ? (cause.retryAfterSeconds ?? 0) * 1000 : 0;
    return Math.max(askedMs, backoffMs(this.#stalled, this.#settings.backoff));
  }

  #checkPatience(cause: unknown, delayMs: number): void {
    const { resumeAttempts, resumePatienceMs, now } = this.#settings;
    const patienceMs = resumePatienceMs ?? defaults.RESUME_PATIENCE_MS;
    const spent = now() + delayMs - this.#progressMs > patienceMs;
    if (spent || this.#stalled > (resumeAttempts ?? defaults.RESUME_ATTEMPTS)) throw this.#givenUp(cause);
  }

  /** True where another caller's Authorization is to be tried. */
  async #reauthorize(error: unknown): Promise<boolean> {
    if (!(error instanceof UpstreamRefusedError) || (error.status !== 401 && error.status !== 403))
      return false;
    const { nextAuthorization } = this.#settings;
    const next = nextAuthorization === undefined ? null : await nextAuthorization();
    if (next === null) return false;
    this.#auth = next === undefined ? { kind: 'forward' } : { kind: 'forward', authorization: next };
    return true;
  }

  async #request(options: {
    attempts?: number;
  }): Promise<{ result: DeliveredBody; section: Section; size: number }> {
    const end = Math.min(this.#settings.end ?? Infinity, this.#last);
    const ranged = this.#position > 0 || end !== Infinity;
    const range = formatRange(this.#position, end === Infinity ? undefined : end);
    const result = await this.#upstream.get(this.#target, this.#auth, this.#signal, {
      ...options,
      ...(ranged && { range }),
    });
    if (!result.ok) throw resultError(this.#target.registry, result);
    try {
      const size = await this.#sizeOf(result);
      return { result, size, section: this.#sectionOf(result, size, ranged) };
    } catch (error) {
      result.body.cancel();
      throw error;
    }
  }

  #sectionOf({ range, body }: DeliveredBody, size: number, ranged: boolean): Section {
    if (range === undefined) return { body, at: 0, until: size };
    if (ranged && range.start === this.#position && range.end < size) {
      return { body, at: range.start, until: range.end + 1 };
    }
    throw this.#fault(
      `asked for bytes from ${this.#position}, got ${range.start} to ${range.end} of ${size}`,
    );
  }

  async #sizeOf(result: DeliveredBody): Promise<number> {
    const size = result.size ?? this.#size ?? (await this.#headSize());
    if (this.#size === undefined || size === this.#size) return size;
    throw this.#fault(`the blob's size changed from ${this.#size} to ${size} bytes`);
  }

  async #headSize(): Promise<number> {
    const result = await this.#upstream.head(this.#target, this.#auth, this.#signal);
    if (!result.ok) throw resultError(this.#target.registry, result);
    if (result.size !== undefined) return result.size;
    throw this.#fault('the size is told neither by GET nor by HEAD');
  }

  #surplus(): UpstreamProtocolError {
    return this.#fault('the body has more bytes than were announced');
  }

  #fault(what: string): UpstreamProtocolError {
    return new UpstreamProtocolError(`${this.#target.registry}: ${this.#target.reference}: ${what}`);
  }

  #givenUp(cause: unknown): UpstreamUnreachableError {
    const { status, retryAfterSeconds } = cause instanceof UpstreamUnreachableError ? cause : {};
    const message = `${this.#target.registry}: the body broke at byte ${this.#position} and did not go on: ${describeError(cause)}`;
    return new UpstreamUnreachableError(message, {
      cause,
      ...(status !== undefined && { status }),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    });
  }
}

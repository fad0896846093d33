import type { BlobRead, BlobReadOptions, OpenBlob } from '#registry/blob-read.ts';
import type { Digest } from '#registry/digest.ts';
import { backoffMs, pause } from '#registry/retry.ts';
import type { Upstream } from '#registry/upstream.ts';
import {
  UpstreamProtocolError,
  UpstreamRefusedError,
  UpstreamUnreachableError,
} from '#registry/upstream-error.ts';
import { type Caller, inNameOf } from './caller.ts';
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, PROGRESS_BYTES } from './defaults.ts';
import { SlowUpstreamError } from './errors.ts';
import { RateFloor } from './rate-floor.ts';
import type { WaitingCallers } from './waiting-callers.ts';

export interface UpstreamReaderParts {
  readonly upstream: Pick<Upstream, 'readBlob'>;
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onBytes: (bytes: number) => void;
  readonly onResume: (offset: number, error: Error) => void;
}

export interface UpstreamReaderOptions {
  /** How long an upstream may make no progress. */
  readonly upstreamWaitMs: number;
  readonly minimumRateBytesPerSecond: number;
}

/** Asks upstream for a blob, or a range of it, in one caller's name. */
export function openBlob(
  upstream: Pick<Upstream, 'readBlob'>,
  caller: Caller,
  digest: Digest,
  signal: AbortSignal,
  range: Pick<BlobReadOptions, 'start' | 'end'> = {},
): Promise<OpenBlob> {
  const { registry, repository } = caller;
  const target = { registry, repository, reference: digest };
  // What breaks is gone on with here, in whose name it still may be.
  return upstream.readBlob(target, inNameOf(caller), signal, { ...range, resumeAttempts: 0 }).open();
}

/**
 * Reads ranges of one blob in the name of whoever waits for it: a body that breaks is gone on with by Range, a
 * credential that is refused is replaced by another caller's, an upstream that vanishes is waited for, and one that
 * trickles is asked anew.
 */
export class UpstreamReader {
  readonly #parts: UpstreamReaderParts;
  readonly #callers: WaitingCallers;
  readonly #blob: { readonly digest: Digest; readonly size: number };
  readonly #waitMs: number;
  readonly #floor: RateFloor;
  #failures = 0;
  #progressMs: number;
  #sinceProgress = 0;

  constructor(
    parts: UpstreamReaderParts,
    callers: WaitingCallers,
    blob: { readonly digest: Digest; readonly size: number },
    options: UpstreamReaderOptions,
  ) {
    this.#parts = parts;
    this.#callers = callers;
    this.#blob = blob;
    this.#waitMs = options.upstreamWaitMs;
    this.#floor = new RateFloor(options.minimumRateBytesPerSecond);
    this.#progressMs = parts.now();
  }

  /**
   * Bytes `start` to before `end`, in order.
   * @param opened a body whose next byte is `start`; what it has beyond `end` is dropped
   * @throws UpstreamRefusedError when no caller's credential is left, UpstreamUnreachableError,
   * UpstreamProtocolError, the signal's reason
   */
  async *read(start: number, end: number, signal: AbortSignal, opened?: BlobRead): AsyncGenerator<Buffer> {
    let body = opened;
    this.#restart();
    for (let at = start; at < end;) {
      try {
        body ??= await this.#open(at, end, signal);
        // The first bytes of a body may be late because upstream sends again, unasked, what was read before.
        let waitingSince: number | undefined;
        for await (const chunk of body) {
          const waitedMs = waitingSince === undefined ? 0 : this.#parts.now() - waitingSince;
          const isSlow = this.#floor.isBelow(chunk.length, waitedMs);
          this.#progressed(chunk.length);
          const wanted = chunk.subarray(0, end - at);
          at += wanted.length;
          yield wanted;
          if (at === end) break;
          if (isSlow) throw new SlowUpstreamError('upstream sends more slowly than minimumRate');
          waitingSince = this.#parts.now();
        }
      } catch (error) {
        signal.throwIfAborted();
        await this.#recover(at, error, signal);
      } finally {
        body?.cancel();
        body = undefined;
      }
    }
  }

  async #open(at: number, end: number, signal: AbortSignal): Promise<BlobRead> {
    const { digest, size } = this.#blob;
    const caller = this.#callers.current;
    const range = { start: at, ...(end < size && { end: end - 1 }) };
    const opened = await openBlob(this.#parts.upstream, caller, digest, signal, range);
    if (opened.size === size) return opened.body;
    opened.body.cancel();
    throw new UpstreamProtocolError(
      `${caller.registry}: ${digest} had ${size} bytes and now has ${opened.size}`,
    );
  }

  #restart(): void {
    this.#failures = 0;
    this.#progressMs = this.#parts.now();
    this.#sinceProgress = 0;
  }

  #progressed(bytes: number): void {
    this.#parts.onBytes(bytes);
    this.#sinceProgress += bytes;
    if (this.#sinceProgress >= PROGRESS_BYTES) this.#restart();
  }

  /** Returns when another attempt is to be made. @throws what is final */
  async #recover(at: number, error: unknown, signal: AbortSignal): Promise<void> {
    if (error instanceof SlowUpstreamError) {
      this.#callers.slow();
    } else if (error instanceof UpstreamRefusedError) {
      this.#callers.refused(error);
    } else if (error instanceof UpstreamUnreachableError && error.temporary) {
      await this.#wait(error, signal);
    } else throw error;
    this.#parts.onResume(at, error);
  }

  async #wait(error: UpstreamUnreachableError, signal: AbortSignal): Promise<void> {
    this.#failures++;
    const { random, now } = this.#parts;
    const backoff = { baseMs: BACKOFF_BASE_MS, capMs: BACKOFF_CAP_MS, random };
    const delayMs = Math.max((error.retryAfterSeconds ?? 0) * 1000, backoffMs(this.#failures, backoff));
    if (now() + delayMs - this.#progressMs > this.#waitMs) throw error;
    await pause(delayMs, signal);
  }
}

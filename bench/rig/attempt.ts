import { createHash } from 'node:crypto';
import { openSync, readSync, closeSync } from 'node:fs';
import { HttpConnection } from '../../demo/http-connection.ts';

/** One GET whose body is compared with what it should be, byte by byte, and which may fail. */
export interface AttemptOrder {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly digest: string;
  /** File with the true bytes. */
  readonly truth: string;
  readonly timeoutMs: number;
}

export interface AttemptReport {
  /** Whether the body ended cleanly with status 200. */
  readonly ended: boolean;
  /** Whether the bytes of a body that ended cleanly have the digest that was asked for. */
  readonly right: boolean;
  readonly bytes: number;
  /** Of those, how many are not the true ones. */
  readonly wrongBytes: number;
  readonly seconds: number;
  /** The longest time without a byte, from the request to the end. */
  readonly silenceSeconds: number;
  /** Why it failed. */
  readonly failure: string | undefined;
}

const PROGRESS_BYTES = 128 * 1024;

/** Never rejects: whatever goes wrong is in the report. @param onProgress told how many bytes have come, now and then */
export async function attempt(
  order: AttemptOrder,
  onProgress: (bytes: number) => void,
): Promise<AttemptReport> {
  const body = new WatchedBody(order, onProgress);
  const connection = new HttpConnection(order);
  const late = setTimeout(() => connection.close(), order.timeoutMs);
  try {
    const { status } = await connection.get({ path: order.path, onBody: (bytes) => body.take(bytes) });
    return body.report(status === 200, status === 200 ? undefined : `status ${status}`);
  } catch (error) {
    return body.report(false, error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(late);
    connection.close();
    body[Symbol.dispose]();
  }
}

class WatchedBody implements Disposable {
  readonly #order: AttemptOrder;
  readonly #onProgress: (bytes: number) => void;
  readonly #hash = createHash('sha256');
  readonly #truth: number;
  readonly #started = performance.now();
  #expected = Buffer.alloc(0);
  #bytes = 0;
  #wrong = 0;
  #told = 0;
  #last = this.#started;
  #silence = 0;

  constructor(order: AttemptOrder, onProgress: (bytes: number) => void) {
    this.#order = order;
    this.#onProgress = onProgress;
    this.#truth = openSync(order.truth, 'r');
  }

  take(bytes: Uint8Array): void {
    this.#listen();
    this.#hash.update(bytes);
    this.#wrong += this.#compare(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes - this.#told < PROGRESS_BYTES) return;
    this.#told = this.#bytes;
    this.#onProgress(this.#bytes);
  }

  report(ended: boolean, failure: string | undefined): AttemptReport {
    this.#listen();
    return {
      ended,
      right: ended && `sha256:${this.#hash.digest('hex')}` === this.#order.digest,
      bytes: this.#bytes,
      wrongBytes: this.#wrong,
      seconds: (this.#last - this.#started) / 1000,
      silenceSeconds: this.#silence / 1000,
      failure,
    };
  }

  [Symbol.dispose](): void {
    closeSync(this.#truth);
  }

  #listen(): void {
    const now = performance.now();
    this.#silence = Math.max(this.#silence, now - this.#last);
    this.#last = now;
  }

  #compare(bytes: Uint8Array): number {
    if (this.#expected.length < bytes.length) this.#expected = Buffer.alloc(bytes.length);
    const count = readSync(this.#truth, this.#expected, 0, bytes.length, this.#bytes);
    if (count === bytes.length && this.#expected.subarray(0, count).equals(bytes)) return 0;
    const equal = this.#expected
      .subarray(0, count)
      .reduce((sum, byte, at) => sum + Number(byte === bytes[at]), 0);
    return bytes.length - equal;
  }
}

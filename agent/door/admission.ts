import { OciError } from '#registry/oci-error.ts';
import type { RequestRate } from '#service/request-rate.ts';
import { MAX_RUNNING_REQUESTS, SHED_RETRY_SECONDS } from '#agent/defaults.ts';

export interface AdmissionParts {
  /** Of one credential, or of all callers without: on loopback nothing else tells them apart. */
  readonly rate: Pick<RequestRate, 'admits'>;
  readonly onShed: () => void;
}

/**
 * Bounds the requests that run at one time, and those of one caller: more are told to come again, with 503. A runtime
 * takes a 429 for the registry's own limit and repeats the request there; on a 503 it goes on to the next host.
 */
export class Admission {
  readonly #limit: number;
  readonly #parts: AdmissionParts;
  #running = 0;

  constructor(parts: AdmissionParts, limit: number = MAX_RUNNING_REQUESTS) {
    this.#parts = parts;
    this.#limit = limit;
  }

  get running(): number {
    return this.#running;
  }

  /**
   * Counts a request of a caller.
   * @param authorization as the caller sent it
   * @throws OciError UNAVAILABLE with Retry-After
   */
  count(authorization: string | undefined): void {
    if (!this.#parts.rate.admits(authorization))
      throw this.#shed('the mirror is asked too often by this caller: try again');
  }

  /** @throws OciError UNAVAILABLE with Retry-After */
  enter(): Disposable {
    if (this.#running >= this.#limit)
      throw this.#shed(`the mirror has ${this.#limit} requests running: try again`);
    this.#running += 1;
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#running -= 1;
        left = true;
      },
    };
  }

  #shed(message: string): OciError {
    this.#parts.onShed();
    return new OciError('UNAVAILABLE', message, { headers: { 'retry-after': String(SHED_RETRY_SECONDS) } });
  }
}

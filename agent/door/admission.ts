import { OciError } from '#registry/oci-error.ts';
import { MAX_RUNNING_REQUESTS, SHED_RETRY_SECONDS } from '#agent/defaults.ts';

/** Bounds the requests that run at one time: more are told to come again, with 503, since 429 would read as the registry's own limit. */
export class Admission {
  readonly #limit: number;
  readonly #onShed: () => void;
  #running = 0;

  constructor(onShed: () => void, limit: number = MAX_RUNNING_REQUESTS) {
    this.#onShed = onShed;
    this.#limit = limit;
  }

  get running(): number {
    return this.#running;
  }

  /** @throws OciError UNAVAILABLE with Retry-After */
  enter(): Disposable {
    if (this.#running >= this.#limit) {
      this.#onShed();
      throw new OciError('UNAVAILABLE', `the mirror has ${this.#limit} requests running: try again`, {
        headers: { 'retry-after': String(SHED_RETRY_SECONDS) },
      });
    }
    this.#running += 1;
    let left = false;
    return {
      [Symbol.dispose]: () => {
        if (!left) this.#running -= 1;
        left = true;
      },
    };
  }
}

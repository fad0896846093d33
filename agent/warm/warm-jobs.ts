import { OciError } from '#registry/oci-error.ts';
import { formatReference, parseReference, ReferenceError } from '#registry/reference.ts';
import type { Reference } from '#registry/reference.ts';
import type { WarmAnswer, WarmRequest } from '#service/warm-messages.ts';
import { WARM_IMAGES, WARM_INTEREST_MS, WARM_RUNNING_IMAGES, WARM_SWEEP_MS } from './defaults.ts';
import { type Fetch, WarmJob, type WarmJobParts } from './warm-job.ts';

export interface WarmJobsParts extends WarmJobParts {
  readonly fetch: (
    reference: Reference,
    credential: WarmRequest['credential'],
    ...rest: Parameters<Fetch>
  ) => Promise<void>;
}

interface Known {
  readonly job: WarmJob;
  readonly reference: Reference;
  /** The one given last: it may have been changed since. */
  credential: WarmRequest['credential'];
}

/**
 * Images that preheats ask for. Asking is all there is: it starts or goes on with the fetch and tells how far it is;
 * who stops asking has cancelled, and who was restarted goes on by asking again.
 */
export class WarmJobs implements AsyncDisposable {
  readonly #parts: WarmJobsParts;
  readonly #known = new Map<string, Known>();
  readonly #sweep: NodeJS.Timeout;

  constructor(parts: WarmJobsParts) {
    this.#parts = parts;
    this.#sweep = setInterval(() => this.#forget(), WARM_SWEEP_MS).unref();
  }

  /** @throws OciError 400 for what is no image, 503 where too many are asked for */
  ask({ image, credential }: WarmRequest): WarmAnswer {
    const reference = readReference(image);
    const key = formatReference(reference);
    let known = this.#known.get(key);
    if (known === undefined) {
      if (this.#known.size >= WARM_IMAGES)
        throw new OciError('UNAVAILABLE', `${WARM_IMAGES} images are asked for already, as many as may be`);
      this.#known.set(key, (known = { job: new WarmJob(this.#parts), reference, credential }));
    }
    known.credential = credential;
    known.job.askedAt = this.#parts.now();
    this.#startDue();
    return known.job.answer();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweep);
    const known = [...this.#known.values()];
    this.#known.clear();
    await Promise.all(known.map(({ job }) => job.stop()));
  }

  #startDue(): void {
    let running = this.#known.values().reduce((count, { job }) => count + (job.isRunning ? 1 : 0), 0);
    for (const known of this.#known.values()) {
      if (running >= WARM_RUNNING_IMAGES) return;
      if (!known.job.isDue) continue;
      running += 1;
      const { reference, credential } = known;
      known.job.start(
        (onFound, signal) => this.#parts.fetch(reference, credential, onFound, signal),
        () => this.#startDue(),
      );
    }
  }

  #forget(): void {
    const before = this.#parts.now() - WARM_INTEREST_MS;
    for (const [key, { job }] of this.#known) {
      if (job.askedAt > before) continue;
      this.#known.delete(key);
      void job.stop();
    }
  }
}

function readReference(image: string): Reference {
  try {
    return parseReference(image);
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause;
    throw new OciError('NAME_INVALID', cause.message, { cause });
  }
}

import { createHmac, randomBytes } from 'node:crypto';

import { OciError } from '#registry/oci-error.ts';
import { formatReference, parseReference, ReferenceError } from '#registry/reference.ts';
import type { Reference } from '#registry/reference.ts';
import type { WarmAnswer, WarmRequest } from '#service/warm-messages.ts';
import { WARM_IMAGES, WARM_MEMORY_MS, WARM_RUNNING_IMAGES, WARM_SWEEP_MS } from './defaults.ts';
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
  readonly credential: WarmRequest['credential'];
  /** Stands for the credential. */
  readonly asker: string;
}

/**
 * Images that preheats ask for. Asking is all there is: it starts or goes on with the fetch and tells how far it is;
 * who stops asking has cancelled, and who was restarted goes on by asking again. Who asks with different credentials
 * for one image is told of, and waits for, what each may read itself; only the bytes are shared, behind the door.
 */
export class WarmJobs implements AsyncDisposable {
  readonly #parts: WarmJobsParts;
  readonly #known = new Map<string, Known>();
  readonly #secret = randomBytes(32);
  readonly #sweep: NodeJS.Timeout;

  constructor(parts: WarmJobsParts) {
    this.#parts = parts;
    this.#sweep = setInterval(() => this.#forget(), WARM_SWEEP_MS).unref();
  }

  /** @throws OciError 400 for what is no image, 503 where too many are asked for */
  ask({ image, credential }: WarmRequest): WarmAnswer {
    const reference = readReference(image);
    const asker = createHmac('sha256', this.#secret)
      .update(JSON.stringify(credential ?? null))
      .digest('base64');
    const key = keyOf(reference, asker);
    const job = this.#known.get(key)?.job ?? this.#resolvedTo(reference, asker) ?? this.#newJob();
    this.#known.set(key, { job, reference, credential, asker });
    job.askedAt = this.#parts.now();
    this.#startDue();
    return job.answer();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweep);
    const known = [...this.#known.values()];
    this.#known.clear();
    await Promise.all(known.map(({ job }) => job.stop()));
  }

  /** Takes the job of a tag that was resolved to the digest that is asked for now: it goes on by that digest. */
  #resolvedTo({ registry, repository, digest }: Reference, asker: string): WarmJob | undefined {
    if (digest === undefined) return undefined;
    for (const [key, known] of this.#known) {
      if (known.asker !== asker || known.job.root !== digest) continue;
      if (known.reference.registry !== registry || known.reference.repository !== repository) continue;
      this.#known.delete(key);
      return known.job;
    }
    return undefined;
  }

  #newJob(): WarmJob {
    if (this.#known.size >= WARM_IMAGES) this.#forgetOne();
    return new WarmJob(this.#parts);
  }

  /** Makes room. @throws OciError 503 where every image is still asked for */
  #forgetOne(): void {
    for (const [key, { job }] of this.#known)
      if (!job.isWanted && !job.isRunning) return void this.#known.delete(key);
    throw new OciError('UNAVAILABLE', `${WARM_IMAGES} images are asked for already, as many as may be`);
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
    const before = this.#parts.now() - WARM_MEMORY_MS;
    for (const [key, { job }] of this.#known) {
      if (job.askedAt <= before) this.#known.delete(key);
      if (!job.isWanted) void job.stop();
    }
  }
}

function keyOf(reference: Reference, asker: string): string {
  return `${formatReference(reference)} ${asker}`;
}

function readReference(image: string): Reference {
  try {
    return parseReference(image);
  } catch (cause) {
    if (!(cause instanceof ReferenceError)) throw cause;
    throw new OciError('NAME_INVALID', cause.message, { cause });
  }
}

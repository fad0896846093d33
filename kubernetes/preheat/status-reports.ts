import { isJsonObject } from '#registry/json-object.ts';
import type { Logger } from '#service/logger.ts';

import { ApiError } from '#kubernetes/api-error.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';
import { CONFLICT_ATTEMPTS } from '#kubernetes/constants.ts';
import type { EventRecorder, Regarding } from '#kubernetes/event-recorder.ts';

import { STATUS_SPACING_MS } from './constants.ts';
import { imagePreheatOf, PREHEAT_API_VERSION, PREHEAT_KIND } from './image-preheat.ts';
import type { ImagePreheat, PreheatStatus } from './image-preheat.ts';
import { statusOf } from './status.ts';
import type { Progress, State } from './status.ts';

export interface StatusReportsParts {
  readonly api: Pick<KubernetesApi, 'ask'>;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly logger: Logger;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
}

/** What Events on a preheat are about. */
export function regarding({ metadata: { namespace, name, uid } }: ImagePreheat): Regarding {
  return { apiVersion: PREHEAT_API_VERSION, kind: PREHEAT_KIND, namespace, name, uid };
}

/** Writes one resource's status: what has changed, not too often, and only over what it has seen. */
export class StatusReports {
  readonly #parts: StatusReportsParts;
  readonly #path: string;
  readonly #startTime: string;
  #preheat: ImagePreheat;
  #written = '';
  #writtenAt = -Infinity;
  #failures = 0;

  constructor(parts: StatusReportsParts, path: string, preheat: ImagePreheat, startedAt: number) {
    this.#parts = parts;
    this.#path = path;
    this.#preheat = preheat;
    this.#startTime = rfc3339(startedAt);
  }

  /** As they were last told. */
  get nodes(): NonNullable<PreheatStatus['nodes']> {
    return this.#preheat.status?.nodes ?? { selected: 0, warm: 0, failed: 0 };
  }

  get message(): string {
    return this.#preheat.status?.conditions?.[0]?.message ?? '';
  }

  /** @returns false where it does not stand yet: the next report has it all. @throws the signal's reason */
  async write(progress: Progress, state: State, signal: AbortSignal): Promise<boolean> {
    const { now, wallClock, logger } = this.#parts;
    const isEnd = state !== 'Warming' && state !== this.#preheat.status?.state;
    if (now() - this.#writtenAt < STATUS_SPACING_MS && !(isEnd && this.#failures === 0)) return false;
    const moment = { time: rfc3339(wallClock()), startTime: this.#startTime };
    const make = (): PreheatStatus => statusOf(this.#preheat, progress, state, moment);
    if (fingerprint(make()) === this.#written) return true;
    this.#writtenAt = now();
    try {
      this.#written = fingerprint(await this.#put(make, signal));
      this.#failures = 0;
      this.#warnOfFailures();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (this.#failures++ === 0)
        logger.warn({ err: error, path: this.#path }, 'a status could not be written');
      return false;
    }
  }

  /** An operator may have to act: a registry that denies, a disk that is full. */
  #warnOfFailures(): void {
    for (const { image, failedNodes = 0, message = '' } of this.#preheat.status?.images ?? [])
      if (failedNodes > 0)
        this.#parts.events.record(regarding(this.#preheat), {
          type: 'Warning',
          reason: 'ImageNotFetched',
          subject: image,
          message: `${image}: ${message}`,
        });
  }

  /** Somebody else may have written meanwhile: read again and write over that. @returns what was written */
  async #put(make: () => PreheatStatus, signal: AbortSignal): Promise<PreheatStatus> {
    const { api } = this.#parts;
    const path = `${this.#path}/status`;
    for (let attempt = 1; ; attempt += 1) {
      const { uid, resourceVersion } = this.#preheat.metadata;
      const status = make();
      const body = { metadata: { uid, resourceVersion }, status };
      try {
        this.#take(await api.ask({ method: 'PATCH', path, body, patch: 'merge' }, signal));
        return status;
      } catch (error) {
        if (!(error instanceof ApiError && error.isConflict) || attempt >= CONFLICT_ATTEMPTS) throw error;
        this.#take(await api.ask({ method: 'GET', path: this.#path }, signal));
      }
    }
  }

  #take(object: unknown): void {
    const read = isJsonObject(object) ? imagePreheatOf(object) : undefined;
    if (read?.metadata.uid !== this.#preheat.metadata.uid) throw new Error('the resource is another one now');
    this.#preheat = read;
  }
}

/** Equal for statuses that differ in times alone. */
function fingerprint(status: PreheatStatus): string {
  const { completionTime: _, conditions = [], ...rest } = status;
  return JSON.stringify({
    ...rest,
    conditions: conditions.map(({ lastTransitionTime: _time, ...kept }) => kept),
  });
}

/** Whole seconds, as Kubernetes writes times. */
function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/u, 'Z');
}

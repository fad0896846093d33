import { isJsonObject } from '#registry/json-object.ts';
import type { Logger } from '#service/logger.ts';

import { ApiError } from '#kubernetes/api-error.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';
import { CONFLICT_ATTEMPTS } from '#kubernetes/constants.ts';
import type { EventRecorder } from '#kubernetes/event-recorder.ts';
import { ResourceWatch } from '#kubernetes/resource-watch.ts';
import type { ResourceWatchParts } from '#kubernetes/resource-watch.ts';

import { STATUS_SPACING_MS } from './constants.ts';
import { imagePreheatOf, isOver, PREHEAT_API_VERSION, PREHEAT_KIND } from './image-preheat.ts';
import type { ImagePreheat, PreheatStatus } from './image-preheat.ts';
import { PullSecrets } from './pull-secrets.ts';
import { PreheatRun } from './run.ts';
import type { PreheatRunParts } from './run.ts';
import { statusOf } from './status.ts';
import type { Progress, State } from './status.ts';

export interface PreheatControllerParts
  extends
    Omit<ResourceWatchParts, 'api'>,
    Pick<PreheatRunParts, 'agents' | 'nodes' | 'agentOf' | 'wallClock'> {
  readonly api: KubernetesApi;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly logger: Logger;
}

interface Running {
  readonly uid: string;
  readonly generation: number;
  readonly ending: AbortController;
  readonly done: Promise<void>;
}

/** Runs every ImagePreheat of its namespace that is not over, until it is disposed; only one such may run at a time. */
export class PreheatController implements AsyncDisposable {
  readonly #parts: PreheatControllerParts;
  readonly #collection: string;
  readonly #preheats: ResourceWatch<ImagePreheat>;
  readonly #running = new Map<string, Running>();
  readonly #closing = new AbortController();

  constructor(parts: PreheatControllerParts) {
    this.#parts = parts;
    this.#collection = `/apis/${PREHEAT_API_VERSION}/namespaces/${parts.api.namespace}/imagepreheats`;
    this.#preheats = new ResourceWatch(parts, { path: this.#collection, keep: imagePreheatOf });
    this.#preheats.onChange(() => this.#reconcile());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the controller stops'));
    await this.#preheats[Symbol.asyncDispose]();
    const running = [...this.#running.values()];
    for (const { ending } of running) ending.abort(new Error('the controller stops'));
    await Promise.all(running.map(({ done }) => done));
  }

  /** What is gone, over, or changed in its specification is stopped; what is not over and does not run is started. */
  #reconcile(): void {
    if (this.#closing.signal.aborted) return;
    const wanted = new Map(
      [...this.#preheats.objects.values()]
        .filter((preheat) => !isOver(preheat))
        .map((preheat) => [preheat.metadata.name, preheat]),
    );
    for (const [name, { uid, generation, ending }] of this.#running) {
      const { metadata } = wanted.get(name) ?? {};
      if (metadata?.uid !== uid || (metadata.generation ?? 0) !== generation)
        ending.abort(new Error('the preheat was changed or deleted'));
    }
    for (const [name, preheat] of wanted) if (!this.#running.has(name)) this.#start(name, preheat);
  }

  #start(name: string, preheat: ImagePreheat): void {
    const { uid, generation = 0 } = preheat.metadata;
    const ending = new AbortController();
    const done = this.#run(preheat, ending.signal).finally(() => {
      this.#running.delete(name);
      this.#reconcile();
    });
    this.#running.set(name, { uid, generation, ending, done });
  }

  /** Never rejects. */
  async #run(preheat: ImagePreheat, signal: AbortSignal): Promise<void> {
    const { api, logger, wallClock, now } = this.#parts;
    const { namespace, name } = preheat.metadata;
    const startedAt = Date.parse(preheat.status?.startTime ?? '') || wallClock();
    const names = (preheat.spec.imagePullSecrets ?? []).map((secret) => secret.name);
    const secrets = new PullSecrets({ api, now }, { namespace, names });
    const reports = new StatusReports(this.#parts, `${this.#collection}/${name}`, preheat, startedAt);
    const report = (progress: Progress, state: State): Promise<boolean> =>
      reports.write(progress, state, signal);
    logger.info({ preheat: name, images: preheat.spec.images.length }, 'preheat runs');
    try {
      const state = await new PreheatRun({ ...this.#parts, secrets, report }, preheat, startedAt).run(signal);
      this.#tell(preheat, state, reports.message);
    } catch (error) {
      if (!signal.aborted) logger.warn({ preheat: name, err: error }, 'preheat broken off');
    }
  }

  #tell({ metadata }: ImagePreheat, state: State, message: string): void {
    const { namespace, name, uid } = metadata;
    this.#parts.logger.info({ preheat: name, state }, 'preheat is over');
    this.#parts.events.record(
      { apiVersion: PREHEAT_API_VERSION, kind: PREHEAT_KIND, namespace, name, uid },
      state === 'Complete'
        ? { type: 'Normal', reason: 'PreheatComplete', message }
        : { type: 'Warning', reason: 'PreheatFailed', message },
    );
  }
}

/** Writes one resource's status: what has changed, not too often, and only over what it has seen. */
class StatusReports {
  readonly #parts: PreheatControllerParts;
  readonly #path: string;
  readonly #startTime: string;
  #preheat: ImagePreheat;
  #written = '';
  #writtenAt = -Infinity;
  #failures = 0;

  constructor(parts: PreheatControllerParts, path: string, preheat: ImagePreheat, startedAt: number) {
    this.#parts = parts;
    this.#path = path;
    this.#preheat = preheat;
    this.#startTime = rfc3339(startedAt);
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
    if (JSON.stringify(withoutTimes(make())) === this.#written) return true;
    this.#writtenAt = now();
    try {
      await this.#put(make, signal);
      this.#written = JSON.stringify(withoutTimes(make()));
      this.#failures = 0;
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (this.#failures++ === 0)
        logger.warn({ err: error, path: this.#path }, 'a status could not be written');
      return false;
    }
  }

  /** Somebody else may have written meanwhile: read again and write over that. */
  async #put(make: () => PreheatStatus, signal: AbortSignal): Promise<void> {
    const { api } = this.#parts;
    const path = `${this.#path}/status`;
    for (let attempt = 1; ; attempt += 1) {
      const { uid, resourceVersion } = this.#preheat.metadata;
      const body = { metadata: { uid, resourceVersion }, status: make() };
      try {
        this.#take(await api.ask({ method: 'PATCH', path, body, patch: 'merge' }, signal));
        return;
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

function withoutTimes(status: PreheatStatus): object {
  const { completionTime: _, conditions = [], ...rest } = status;
  return { ...rest, conditions: conditions.map(({ lastTransitionTime: _time, ...kept }) => kept) };
}

/** Whole seconds, as Kubernetes writes times. */
function rfc3339(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/u, 'Z');
}

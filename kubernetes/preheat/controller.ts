import type { Logger } from '#service/logger.ts';
import { LruMap } from '#service/lru-map.ts';

import type { KubernetesApi } from '#kubernetes/api.ts';
import type { EventRecorder } from '#kubernetes/event-recorder.ts';
import { ResourceWatch } from '#kubernetes/resource-watch.ts';
import type { ResourceWatchParts } from '#kubernetes/resource-watch.ts';

import { REMEMBERED_ENDS } from './constants.ts';
import { imagePreheatOf, isOver, PREHEAT_API_VERSION } from './image-preheat.ts';
import type { ImagePreheat } from './image-preheat.ts';
import { PullSecrets } from './pull-secrets.ts';
import { PreheatRun } from './run.ts';
import type { PreheatRunParts } from './run.ts';
import { regarding, StatusReports } from './status-reports.ts';
import type { Progress, State } from './status.ts';

export interface PreheatControllerParts
  extends
    Omit<ResourceWatchParts, 'api'>,
    Pick<PreheatRunParts, 'agents' | 'nodes' | 'agentOf' | 'wallClock'> {
  readonly api: KubernetesApi;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly logger: Logger;
}

/** Of all preheats that run, taken together. */
export interface PreheatSummary {
  readonly preheats: number;
  readonly nodes: Readonly<Record<'selected' | 'warm' | 'failed', number>>;
}

interface Running {
  readonly reports: StatusReports;
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
  /** By uid: those that are over before the watch says so. */
  readonly #ended = new LruMap<string, true>(REMEMBERED_ENDS);
  readonly #closing = new AbortController();

  constructor(parts: PreheatControllerParts) {
    this.#parts = parts;
    this.#collection = `/apis/${PREHEAT_API_VERSION}/namespaces/${parts.api.namespace}/imagepreheats`;
    this.#preheats = new ResourceWatch(parts, { path: this.#collection, keep: imagePreheatOf });
    this.#preheats.onChange(() => this.#reconcile());
  }

  get summary(): PreheatSummary {
    const nodes = { selected: 0, warm: 0, failed: 0 };
    for (const { reports } of this.#running.values()) {
      nodes.selected += reports.nodes.selected;
      nodes.warm += reports.nodes.warm;
      nodes.failed += reports.nodes.failed;
    }
    return { preheats: this.#running.size, nodes };
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
    const known = new Map(
      [...this.#preheats.objects.values()].map((preheat) => [preheat.metadata.name, preheat]),
    );
    // One that has come to its end still has to hear that this was written.
    for (const [name, { uid, generation, ending }] of this.#running) {
      const { metadata } = known.get(name) ?? {};
      const isSame = metadata?.uid === uid && (metadata.generation ?? 0) === generation;
      if (!isSame || metadata.deletionTimestamp !== undefined)
        ending.abort(new Error('the preheat was changed or deleted'));
    }
    for (const [name, preheat] of known) {
      if (this.#running.has(name) || isOver(preheat)) continue;
      if (this.#ended.get(preheat.metadata.uid) !== true) this.#start(name, preheat);
    }
  }

  #start(name: string, preheat: ImagePreheat): void {
    const { uid, generation = 0 } = preheat.metadata;
    const ending = new AbortController();
    const startedAt = Date.parse(preheat.status?.startTime ?? '') || this.#parts.wallClock();
    const reports = new StatusReports(this.#parts, `${this.#collection}/${name}`, preheat, startedAt);
    const done = this.#run(preheat, { startedAt, reports }, ending.signal).finally(() => {
      this.#running.delete(name);
      this.#reconcile();
    });
    this.#running.set(name, { uid, generation, reports, ending, done });
  }

  /** Never rejects. */
  async #run(
    preheat: ImagePreheat,
    { startedAt, reports }: { startedAt: number; reports: StatusReports },
    signal: AbortSignal,
  ): Promise<void> {
    const { api, logger, now } = this.#parts;
    const { namespace, name } = preheat.metadata;
    const names = (preheat.spec.imagePullSecrets ?? []).map((secret) => secret.name);
    const secrets = new PullSecrets({ api, now }, { namespace, names });
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

  #tell(preheat: ImagePreheat, state: State, message: string): void {
    this.#ended.set(preheat.metadata.uid, true);
    this.#parts.logger.info({ preheat: preheat.metadata.name, state }, 'preheat is over');
    this.#parts.events.record(
      regarding(preheat),
      state === 'Complete'
        ? { type: 'Normal', reason: 'PreheatComplete', message }
        : { type: 'Warning', reason: 'PreheatFailed', message },
    );
  }
}

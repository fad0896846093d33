import { createHash } from 'node:crypto';

import { describeError } from '#registry/redact.ts';
import { LruMap } from '#service/lru-map.ts';

import { ApiError } from './api-error.ts';
import type { KubernetesApi } from './api.ts';
import { EVENT_SPACING_MS, MAX_EVENT_MESSAGE, REMEMBERED_EVENTS } from './constants.ts';

/** What an Event is about. */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  /** Undefined for what belongs to no namespace, such as a Node: its Events lie in `default`. */
  readonly namespace?: string;
}

export interface Occurrence {
  readonly type: 'Normal' | 'Warning';
  /** In CamelCase, few of them. */
  readonly reason: string;
  /** Undefined where the message is always the same; else what makes two occurrences the same, however they are told. */
  readonly subject?: string;
  readonly message: string;
}

export interface EventRecorderParts {
  readonly api: Pick<KubernetesApi, 'ask'>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly onFailure: (reason: string) => void;
  /** Ends with the process. */
  readonly signal: AbortSignal;
}

/**
 * Kubernetes Events on what an operator should know. The same one within a minute is not written again; later it is
 * counted up, so that `kubectl describe` shows one line. That one cannot be written stops nothing.
 */
export class EventRecorder {
  readonly #parts: EventRecorderParts;
  readonly #component: string;
  readonly #written = new LruMap<string, { at: number; count: number }>(REMEMBERED_EVENTS);

  /** @param component who reports, such as `shoal-tracker` */
  constructor(parts: EventRecorderParts, component: string) {
    this.#parts = parts;
    this.#component = component;
  }

  /** Returns at once. */
  record(regarding: Regarding, occurrence: Occurrence): void {
    const { now } = this.#parts;
    const key = keyOf(regarding, occurrence);
    const last = this.#written.get(key);
    if (last !== undefined && now() - last.at < EVENT_SPACING_MS) return;
    const count = (last?.count ?? 0) + 1;
    this.#written.set(key, { at: now(), count });
    this.#write(key, regarding, occurrence, count).catch((error: unknown) => {
      if (!this.#parts.signal.aborted) this.#parts.onFailure(describeError(error));
    });
  }

  async #write(key: string, regarding: Regarding, occurrence: Occurrence, count: number): Promise<void> {
    const { api, signal, wallClock } = this.#parts;
    const namespace = regarding.namespace ?? 'default';
    const path = `/api/v1/namespaces/${namespace}/events`;
    const time = new Date(wallClock()).toISOString().replace(/\.\d+Z$/u, 'Z');
    const name = `${regarding.name.slice(0, 200)}.${key.slice(0, 16)}`;
    const message = occurrence.message.slice(0, MAX_EVENT_MESSAGE);
    const body = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { namespace, name },
      involvedObject: regarding,
      type: occurrence.type,
      reason: occurrence.reason,
      message,
      source: { component: this.#component },
      reportingComponent: this.#component,
      reportingInstance: '',
      firstTimestamp: time,
      lastTimestamp: time,
      count,
    };
    try {
      await api.ask({ method: 'POST', path, body }, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.isConflict)) throw error;
      const again = { message, lastTimestamp: time, count: Math.max(2, count) };
      await api.ask({ method: 'PATCH', path: `${path}/${name}`, body: again, patch: 'merge' }, signal);
    }
  }
}

function keyOf({ kind, namespace, name, uid }: Regarding, occurrence: Occurrence): string {
  const { type, reason, message, subject = message } = occurrence;
  const parts = [kind, namespace ?? '', name, uid, type, reason, subject];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

import { setTimeout as sleep } from 'node:timers/promises';

import { isJsonObject } from '#registry/json-object.ts';

import { ApiError } from './api-error.ts';
import type { KubernetesApi } from './api.ts';
import { CONFLICT_ATTEMPTS, CONFLICT_BACKOFF_MS, TAINT_RETRY_MS } from './constants.ts';
import { STARTUP_TAINT } from './nodes.ts';
import type { ClusterNode } from './nodes.ts';

export interface StartupTaintParts {
  readonly api: Pick<KubernetesApi, 'ask'>;
  /** The cluster's nodes, by name. */
  readonly nodes: () => ReadonlyMap<string, ClusterNode>;
  /** Whether the agent of a node serves. */
  readonly isServed: (node: string) => boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onLifted: (node: string) => void;
  readonly onFailure: (node: string, error: unknown) => void;
}

/** Lifts the start-up taint of nodes whose agent serves. It is never put back: a pull goes on without an agent too. */
export class StartupTaint {
  readonly #parts: StartupTaintParts;

  constructor(parts: StartupTaintParts) {
    this.#parts = parts;
  }

  /** Looks again and again until the signal is aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const { name, hasStartupTaint } of this.#parts.nodes().values())
        if (hasStartupTaint && this.#parts.isServed(name) && !signal.aborted) await this.#lift(name, signal);
      const wait = TAINT_RETRY_MS * (0.8 + 0.4 * this.#parts.random());
      await sleep(wait, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Never rejects. */
  async #lift(name: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#remove(name, signal);
      this.#parts.onLifted(name);
    } catch (error) {
      if (!signal.aborted) this.#parts.onFailure(name, error);
    }
  }

  /** Other controllers change taints too: what was read must still stand when the rest is written. */
  async #remove(name: string, signal: AbortSignal): Promise<void> {
    const { api, random } = this.#parts;
    const path = `/api/v1/nodes/${name}`;
    for (let attempt = 1; ; attempt += 1) {
      const { version, taints } = taintsOf(await api.ask({ method: 'GET', path }, signal));
      const kept = taints.filter((taint) => !(isJsonObject(taint) && taint['key'] === STARTUP_TAINT));
      if (kept.length === taints.length) return;
      const body = { metadata: { resourceVersion: version }, spec: { taints: kept } };
      try {
        await api.ask({ method: 'PATCH', path, body, patch: 'merge' }, signal);
        return;
      } catch (error) {
        if (!(error instanceof ApiError && error.isConflict) || attempt >= CONFLICT_ATTEMPTS) throw error;
        await sleep(CONFLICT_BACKOFF_MS * 2 ** attempt * random(), undefined, { signal });
      }
    }
  }
}

function taintsOf(node: unknown): { version: string; taints: readonly unknown[] } {
  const { metadata, spec } = isJsonObject(node) ? node : {};
  const version = isJsonObject(metadata) ? metadata['resourceVersion'] : undefined;
  const taints = isJsonObject(spec) ? spec['taints'] : undefined;
  return { version: String(version), taints: Array.isArray(taints) ? taints : [] };
}

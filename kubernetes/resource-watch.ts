import { setTimeout as sleep } from 'node:timers/promises';

import { isJsonObject } from '#registry/json-object.ts';
import { backoffMs } from '#registry/retry.ts';

import { ApiError } from './api-error.ts';
import type { KubernetesApi } from './api.ts';
import {
  PAGE_SIZE,
  WATCH_BACKOFF_CAP_MS,
  WATCH_BACKOFF_MS,
  WATCH_SECONDS,
  WATCH_STEADY_MS,
} from './constants.ts';

export interface ResourceWatchParts {
  readonly api: Pick<KubernetesApi, 'ask' | 'watch'>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Told of the first failure in a row only. */
  readonly onFailure: (error: unknown) => void;
}

export interface ResourceWatchOptions<T> {
  /** Of the collection, such as `/api/v1/nodes`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What of an object is kept; undefined: it is not one of ours. The less, the less memory. */
  readonly keep: (object: Record<string, unknown>) => T | undefined;
}

/**
 * A collection of the API server's, kept up to date here: read once, then watched. A watch that ends is begun again
 * where it stood; one whose place is not kept any more (410, as an answer or as an ERROR event) begins with reading
 * anew, after which what has gone meanwhile is gone here too. While the API server is away, what was known stays.
 */
export class ResourceWatch<T> implements AsyncDisposable {
  readonly #parts: ResourceWatchParts;
  readonly #options: ResourceWatchOptions<T>;
  readonly #objects = new Map<string, T>();
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  readonly #running: Promise<void>;
  #failures = 0;

  constructor(parts: ResourceWatchParts, options: ResourceWatchOptions<T>) {
    this.#parts = parts;
    this.#options = options;
    this.#synced.promise.catch(() => undefined);
    this.#running = this.#run();
  }

  /** Objects by `namespace/name`, or name alone. */
  get objects(): ReadonlyMap<string, T> {
    return this.#objects;
  }

  /** Resolves when the collection was read for the first time; rejects when this is closed before. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  /** Calls the listener after each change, until what is returned is disposed. */
  onChange(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the watch is closed'));
    this.#synced.reject(this.#closing.signal.reason);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let version: string | undefined;
    while (!signal.aborted) {
      const began = this.#parts.now();
      let failure: unknown;
      try {
        version ??= await this.#read(signal);
        version = await this.#follow(version, signal);
      } catch (error) {
        const broken = error instanceof InterruptedError;
        failure = broken ? error.cause : error;
        version = broken && canGoOn(failure) ? error.version : undefined;
      }
      if (signal.aborted) return;
      const wasSteady = this.#parts.now() - began >= WATCH_STEADY_MS;
      if (wasSteady) this.#failures = 0;
      if (failure !== undefined || !wasSteady) await this.#pause(failure, signal);
    }
  }

  /** @returns the version of the collection that was read. */
  async #read(signal: AbortSignal): Promise<string> {
    const { path } = this.#options;
    const found = new Map<string, T>();
    let next = '';
    for (;;) {
      const query = {
        ...this.#selectors(),
        limit: String(PAGE_SIZE),
        ...(next !== '' && { continue: next }),
      };
      const page = await this.#parts.api.ask({ method: 'GET', path, query }, signal);
      const { items, version, more } = readPage(page, path);
      for (const item of items) this.#put(found, item);
      if (more === '') {
        this.#replace(found);
        return version;
      }
      next = more;
    }
  }

  #replace(found: ReadonlyMap<string, T>): void {
    this.#objects.clear();
    for (const [key, object] of found) this.#objects.set(key, object);
    this.#synced.resolve();
    this.#tell();
  }

  /** @returns the version to go on from, once the server has ended the watch. @throws InterruptedError */
  async #follow(from: string, signal: AbortSignal): Promise<string> {
    let version = from;
    const seconds = Math.ceil(WATCH_SECONDS * (0.5 + this.#parts.random() / 2));
    const query = {
      ...this.#selectors(),
      resourceVersion: from,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(seconds),
    };
    try {
      for await (const { type, object } of this.#parts.api.watch(this.#options.path, query, signal)) {
        if (!isJsonObject(object)) continue;
        version = versionOf(object) ?? version;
        if (this.#apply(type, object)) this.#tell();
      }
      return version;
    } catch (cause) {
      throw new InterruptedError(version, cause);
    }
  }

  #apply(type: string, object: Record<string, unknown>): boolean {
    if (type === 'ADDED' || type === 'MODIFIED') return this.#put(this.#objects, object);
    return type === 'DELETED' && this.#objects.delete(keyOf(object));
  }

  /** An object that is not one of ours any more goes. */
  #put(objects: Map<string, T>, object: Record<string, unknown>): boolean {
    const key = keyOf(object);
    const kept = this.#options.keep(object);
    if (kept === undefined) return objects.delete(key);
    objects.set(key, kept);
    return true;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  async #pause(error: unknown, signal: AbortSignal): Promise<void> {
    // That a place is not kept any more is everyday business, once.
    const isExpected = error instanceof ApiError && error.isExpired && this.#failures === 0;
    if (error !== undefined && this.#failures === 0 && !isExpected) this.#parts.onFailure(error);
    this.#failures++;
    const { random } = this.#parts;
    const wait = backoffMs(this.#failures, { baseMs: WATCH_BACKOFF_MS, capMs: WATCH_BACKOFF_CAP_MS, random });
    await sleep(wait, undefined, { signal, ref: false }).catch(() => undefined);
  }

  #selectors(): Record<string, string> {
    const { labelSelector, fieldSelector } = this.#options;
    return {
      ...(labelSelector !== undefined && { labelSelector }),
      ...(fieldSelector !== undefined && { fieldSelector }),
    };
  }
}

/** A watch broke; it can go on from `version` unless the cause says that this is not kept. */
class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly version: string;

  constructor(version: string, cause: unknown) {
    super('the watch broke', { cause });
    this.version = version;
  }
}

/** After an answer that says what is wrong with the place, or with us, only reading anew helps. */
function canGoOn(error: unknown): boolean {
  return !(error instanceof ApiError) || error.status === 429 || error.status === 503;
}

function readPage(
  page: unknown,
  path: string,
): { items: Record<string, unknown>[]; version: string; more: string } {
  const { metadata, items } = isJsonObject(page) ? page : {};
  const { resourceVersion, continue: more = '' } = isJsonObject(metadata) ? metadata : {};
  if (!Array.isArray(items) || typeof resourceVersion !== 'string' || typeof more !== 'string')
    throw new Error(`GET ${path}: the answer is no list`);
  return { items: items.filter(isJsonObject), version: resourceVersion, more };
}

function versionOf({ metadata }: Record<string, unknown>): string | undefined {
  const version = isJsonObject(metadata) ? metadata['resourceVersion'] : undefined;
  return typeof version === 'string' ? version : undefined;
}

function keyOf({ metadata }: Record<string, unknown>): string {
  const { namespace, name } = isJsonObject(metadata) ? metadata : {};
  return typeof namespace === 'string' ? `${namespace}/${String(name)}` : String(name);
}

import { parseDockerConfig } from '#registry/credentials.ts';
import type { Credential, Credentials } from '#registry/credentials.ts';
import { isJsonObject } from '#registry/json-object.ts';
import { describeError } from '#registry/redact.ts';

import { ApiError } from '#kubernetes/api-error.ts';
import type { KubernetesApi } from '#kubernetes/api.ts';

import { MAX_SECRET_BYTES, SECRETS_MS } from './constants.ts';

const SECRET_TYPE = 'kubernetes.io/dockerconfigjson';
const SECRET_KEY = '.dockerconfigjson';

/** Secrets as they were last read. */
interface Read {
  readonly at: number;
  readonly credentials: readonly Credentials[];
  readonly faults: readonly string[];
}

/**
 * The pull secrets that one resource names. One that cannot be used is passed over, as the kubelet does: the image may
 * be public. Nothing of what they hold is put into a message.
 */
export class PullSecrets {
  readonly #parts: { readonly api: Pick<KubernetesApi, 'ask'>; readonly now: () => number };
  readonly #namespace: string;
  readonly #names: readonly string[];
  #read: Read | undefined;

  /** @param parts.now milliseconds, monotonic */
  constructor(
    parts: { readonly api: Pick<KubernetesApi, 'ask'>; readonly now: () => number },
    place: { readonly namespace: string; readonly names: readonly string[] },
  ) {
    this.#parts = parts;
    this.#namespace = place.namespace;
    this.#names = place.names;
  }

  /** What is wrong with which of them, as of the last look. */
  get faults(): readonly string[] {
    return this.#read?.faults ?? [];
  }

  /** Reads them where the last look was long ago. @throws the signal's reason */
  async refresh(signal: AbortSignal): Promise<void> {
    const now = this.#parts.now();
    if (this.#read !== undefined && now - this.#read.at < SECRETS_MS) return;
    const credentials: Credentials[] = [];
    const faults: string[] = [];
    for (const name of this.#names) {
      try {
        credentials.push(await this.#credentials(name, signal));
      } catch (error) {
        signal.throwIfAborted();
        faults.push(faultOf(name, error));
      }
    }
    this.#read = { at: now, credentials, faults };
  }

  lookup(registry: string): Credential | undefined {
    for (const credentials of this.#read?.credentials ?? []) {
      const found = credentials.lookup(registry);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #credentials(name: string, signal: AbortSignal): Promise<Credentials> {
    const path = `/api/v1/namespaces/${this.#namespace}/secrets/${name}`;
    const secret = await this.#parts.api.ask({ method: 'GET', path }, signal);
    const { type, data } = isJsonObject(secret) ? secret : {};
    const encoded = isJsonObject(data) ? data[SECRET_KEY] : undefined;
    if (type !== SECRET_TYPE || typeof encoded !== 'string')
      throw new Error(`its type is not ${SECRET_TYPE}`);
    if (encoded.length > MAX_SECRET_BYTES) throw new Error(`it has more than ${MAX_SECRET_BYTES} bytes`);
    return parseDockerConfig(Buffer.from(encoded, 'base64').toString('utf8'));
  }
}

function faultOf(name: string, error: unknown): string {
  if (error instanceof ApiError && error.isForbidden)
    return `Secret ${name}: the tracker may not read it (the chart's preheat.pullSecrets lists those that it may)`;
  if (error instanceof ApiError && error.isMissing) return `Secret ${name}: there is none`;
  return `Secret ${name}: ${describeError(error)}`;
}

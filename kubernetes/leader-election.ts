import { setTimeout as sleep } from 'node:timers/promises';

import { isJsonObject } from '#registry/json-object.ts';

import { ApiError } from './api-error.ts';
import type { KubernetesApi } from './api.ts';
import { LEASE_RENEW_DEADLINE_MS, LEASE_RETRY_MS, LEASE_SECONDS } from './constants.ts';

export interface LeaderElectionParts {
  readonly api: Pick<KubernetesApi, 'ask'>;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds since 1970, for what others are shown; nothing is decided by it. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly onChange: (leads: boolean) => void;
  /** Told of the first failure in a row only. */
  readonly onFailure: (error: unknown) => void;
}

export interface LeaderElectionOptions {
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Of this process; no other may have it. */
  readonly identity: string;
}

const LONGEST_TURN_MS = LEASE_RENEW_DEADLINE_MS / 2;

/** What is read of a Lease (coordination.k8s.io/v1). */
interface Lease {
  readonly version: string;
  readonly holder: string;
  readonly renewed: string;
  readonly acquired: string;
  readonly seconds: number;
  readonly transitions: number;
}

/**
 * One of several processes leads: the holder of a Lease. Clocks need not agree: a lease is over when it was not seen to
 * change for its duration. The leader stops leading before that, where it cannot renew.
 */
export class LeaderElection implements AsyncDisposable {
  readonly #parts: LeaderElectionParts;
  readonly #options: LeaderElectionOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** The lease as it was last seen, and since when it has been like that. */
  #seen: { readonly lease: Lease; readonly at: number } | undefined;
  #term: { readonly end: AbortController; readonly work: Promise<void> } | undefined;
  #renewedAt = -Infinity;
  #failures = 0;

  /** @param lead runs while this process leads; ends soon after its signal is aborted */
  constructor(
    parts: LeaderElectionParts,
    options: LeaderElectionOptions,
    lead: (signal: AbortSignal) => Promise<void>,
  ) {
    this.#parts = parts;
    this.#options = options;
    this.#running = this.#run(lead);
  }

  get leads(): boolean {
    return this.#term !== undefined;
  }

  /** Stops leading, then lets the lease go, so that another need not wait for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the election is over'));
    await this.#running;
    if (this.#term === undefined) return;
    await this.#endTerm();
    await this.#release().catch(() => undefined);
  }

  async #run(lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#turn(signal);
      const holds = this.#parts.now() - this.#renewedAt < LEASE_RENEW_DEADLINE_MS;
      if (holds && this.#term === undefined && !signal.aborted) this.#beginTerm(lead);
      if (!holds && this.#term !== undefined) await this.#endTerm();
      const wait = LEASE_RETRY_MS * (0.8 + 0.4 * this.#parts.random());
      await sleep(wait, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  #beginTerm(lead: (signal: AbortSignal) => Promise<void>): void {
    const end = new AbortController();
    const work = lead(end.signal)
      .catch((error: unknown) => {
        if (!end.signal.aborted) this.#parts.onFailure(error);
      })
      .finally(() => {
        // What ended by itself is begun again with the next turn.
        if (!end.signal.aborted) this.#term = undefined;
      });
    this.#term = { end, work };
    this.#parts.onChange(true);
  }

  async #endTerm(): Promise<void> {
    const term = this.#term;
    this.#term = undefined;
    term?.end.abort(new Error('another process leads now'));
    this.#parts.onChange(false);
    await term?.work;
  }

  /** Takes or renews the lease where it may. Never rejects. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { now, onFailure } = this.#parts;
    const began = now();
    // An answer that comes after a term must have ended is of no use to it.
    const left = this.#renewedAt + LEASE_RENEW_DEADLINE_MS - began;
    const patience = left > 0 ? Math.min(Math.ceil(left), LONGEST_TURN_MS) : LONGEST_TURN_MS;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
    try {
      const lease = await this.#read(limit);
      this.#note(lease);
      // Judged once: a lease that ends a moment later was not written.
      const takes = lease === undefined || this.#mayTake(lease);
      if (lease === undefined) await this.#create(limit);
      else if (takes) await this.#write(lease, limit);
      this.#renewedAt = takes ? began : -Infinity;
      this.#failures = 0;
    } catch (error) {
      // A conflict says that another was quicker: the next turn sees who.
      if (signal.aborted || (error instanceof ApiError && error.isConflict)) return;
      if (this.#failures++ === 0) onFailure(error);
    }
  }

  #note(lease: Lease | undefined): void {
    const same =
      lease !== undefined &&
      this.#seen?.lease.holder === lease.holder &&
      this.#seen.lease.renewed === lease.renewed;
    if (lease !== undefined && !same) this.#seen = { lease, at: this.#parts.now() };
  }

  #mayTake({ holder, seconds }: Lease): boolean {
    if (holder === '' || holder === this.#options.identity) return true;
    return this.#parts.now() - (this.#seen?.at ?? Infinity) > seconds * 1000;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      return leaseOf(await this.#parts.api.ask({ method: 'GET', path: this.#path }, signal));
    } catch (error) {
      if (error instanceof ApiError && error.isMissing) return undefined;
      throw error;
    }
  }

  async #create(signal: AbortSignal): Promise<void> {
    const { namespace, name } = this.#options;
    const time = this.#time();
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name },
      spec: { ...this.#spec(time), acquireTime: time, leaseTransitions: 0 },
    };
    await this.#parts.api.ask({ method: 'POST', path: this.#collection, body }, signal);
  }

  async #write(lease: Lease, signal: AbortSignal): Promise<void> {
    const isOurs = lease.holder === this.#options.identity;
    const time = this.#time();
    await this.#put(
      lease,
      {
        ...this.#spec(time),
        acquireTime: isOurs && lease.acquired !== '' ? lease.acquired : time,
        leaseTransitions: lease.transitions + (isOurs ? 0 : 1),
      },
      signal,
    );
  }

  async #release(): Promise<void> {
    const signal = AbortSignal.timeout(LEASE_RETRY_MS);
    const lease = await this.#read(signal);
    if (lease?.holder !== this.#options.identity) return;
    const spec = { holderIdentity: '', leaseDurationSeconds: 1, renewTime: this.#time() };
    await this.#put(lease, { ...spec, leaseTransitions: lease.transitions }, signal);
  }

  async #put(lease: Lease, spec: object, signal: AbortSignal): Promise<void> {
    const { namespace, name } = this.#options;
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name, resourceVersion: lease.version },
      spec,
    };
    await this.#parts.api.ask({ method: 'PUT', path: this.#path, body }, signal);
  }

  #spec(time: string): object {
    return { holderIdentity: this.#options.identity, leaseDurationSeconds: LEASE_SECONDS, renewTime: time };
  }

  /** MicroTime, of which milliseconds are all that there is. */
  #time(): string {
    return new Date(this.#parts.wallClock()).toISOString().replace('Z', '000Z');
  }

  get #collection(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
  }

  get #path(): string {
    return `${this.#collection}/${this.#options.name}`;
  }
}

function leaseOf(object: unknown): Lease {
  const { metadata, spec } = isJsonObject(object) ? object : {};
  const told = isJsonObject(spec) ? spec : {};
  const version = isJsonObject(metadata) ? metadata['resourceVersion'] : undefined;
  return {
    version: typeof version === 'string' ? version : '',
    holder: text(told['holderIdentity']),
    renewed: text(told['renewTime']),
    acquired: text(told['acquireTime']),
    seconds: count(told['leaseDurationSeconds'], LEASE_SECONDS),
    transitions: count(told['leaseTransitions'], 0),
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function count(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}

import type { LeaseAnswer, LeaseRequest } from '#swarm/announce/messages.ts';

import { LEASE_RETRY_MIN_MS, LEASE_RETRY_MS, LEASE_WAITER_MS } from './constants.ts';
import { ExpiryQueue } from './expiry-queue.ts';
import { Waiters } from './waiters.ts';

interface Lease {
  readonly key: string;
  readonly holder: string;
  expiresAt: number;
}

export interface LeaseOptions {
  /** Readers of one blob's upstream at a time. */
  readonly perBlob: number;
  readonly ttlMs: number;
  /** Of all blobs together; as many waiters are counted. */
  readonly maxLeases: number;
}

/** Who may read a blob from upstream now, where no origin does. A lease is renewed by asking again and ends by itself. */
export class LeaseBook {
  readonly #now: () => number;
  readonly #options: LeaseOptions;
  readonly #byBlob = new Map<string, Map<string, Lease>>();
  readonly #byHolder = new Map<string, Set<Lease>>();
  readonly #expiry: ExpiryQueue<Lease>;
  readonly #waiters: Waiters;
  #size = 0;

  constructor(parts: { now: () => number }, options: LeaseOptions) {
    this.#now = parts.now;
    this.#options = options;
    this.#expiry = new ExpiryQueue(options.ttlMs);
    this.#waiters = new Waiters({ lifetimeMs: LEASE_WAITER_MS, limit: options.maxLeases });
  }

  get size(): number {
    return this.#size;
  }

  take({ peerId, digest, scope }: LeaseRequest): LeaseAnswer {
    this.sweep(Infinity);
    const now = this.#now();
    const key = `${digest} ${scope}`;
    const leases = this.#byBlob.get(key);
    const held = leases?.get(peerId);
    if (held === undefined) {
      const full = (leases?.size ?? 0) >= this.#options.perBlob;
      if (full || this.#size >= this.#options.maxLeases)
        return refuse(
          full ? soonest(leases!.values()) - now : Infinity,
          this.#waiters.note(key, peerId, now),
        );
    }
    this.#waiters.end(key, peerId);
    const lease = held ?? this.#open(key, peerId);
    lease.expiresAt = now + this.#options.ttlMs;
    this.#expiry.touch(lease, now);
    return { granted: true, ttlMs: this.#options.ttlMs, retryAfterMs: 0 };
  }

  release({ peerId, digest, scope }: LeaseRequest): void {
    const lease = this.#byBlob.get(`${digest} ${scope}`)?.get(peerId);
    if (lease !== undefined) this.#end(lease);
  }

  /** Ends all leases of a member that is gone. */
  releaseAll(peerId: string): void {
    for (const lease of this.#byHolder.get(peerId) ?? []) this.#end(lease);
  }

  /** Ends up to `budget` leases whose time is over and returns how many. */
  sweep(budget: number): number {
    let ended = 0;
    for (; ended < budget; ended++) {
      const lease = this.#expiry.expired(this.#now());
      if (lease === undefined) break;
      this.#end(lease);
    }
    return ended;
  }

  #open(key: string, holder: string): Lease {
    const lease = { key, holder, expiresAt: 0 };
    const leases = this.#byBlob.get(key) ?? new Map<string, Lease>();
    const own = this.#byHolder.get(holder) ?? new Set<Lease>();
    this.#byBlob.set(key, leases.set(holder, lease));
    this.#byHolder.set(holder, own.add(lease));
    this.#size++;
    return lease;
  }

  #end(lease: Lease): void {
    const leases = this.#byBlob.get(lease.key)!;
    const own = this.#byHolder.get(lease.holder)!;
    leases.delete(lease.holder);
    own.delete(lease);
    if (leases.size === 0) this.#byBlob.delete(lease.key);
    if (own.size === 0) this.#byHolder.delete(lease.holder);
    this.#expiry.delete(lease);
    this.#size--;
  }
}

function refuse(freeInMs: number, waiting: number): LeaseAnswer {
  const retryAfterMs = Math.ceil(Math.max(LEASE_RETRY_MIN_MS, Math.min(freeInMs, LEASE_RETRY_MS)));
  return { granted: false, ttlMs: 0, retryAfterMs, waiting };
}

function soonest(leases: Iterable<Lease>): number {
  return Math.min(...[...leases].map(({ expiresAt }) => expiresAt));
}

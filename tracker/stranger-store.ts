import { NOWHERE } from '#swarm/core/handout.ts';

import { ExpiryQueue } from './expiry-queue.ts';
import type { MemberStore } from './member-store.ts';
import type { Alias, Stranger, SwarmTable } from './swarm-table.ts';

/** A stock client's announce (BEP 3, BEP 15), decoded. */
export interface StrangerAnnounce {
  /** Hex, 40 digits. */
  readonly infoHash: string;
  /** Hex, 40 digits. */
  readonly peerId: string;
  readonly port: number;
  /** Bytes it still lacks. */
  readonly left: bigint;
  readonly event: 'started' | 'stopped' | 'completed' | undefined;
  /** Undefined: as many as is customary. */
  readonly want: number | undefined;
}

/** Shown to the stranger as it is, as BEP 3's failure reason or BEP 15's error message. */
export class AnnounceRefusedError extends Error {
  override readonly name = 'AnnounceRefusedError';
}

export interface StrangerPeer {
  /** Hex, 40 digits. */
  readonly id: string;
  readonly ip: string;
  readonly host: string;
  readonly port: number;
}

export interface StrangerAnswer {
  readonly complete: number;
  readonly incomplete: number;
  readonly peers: readonly StrangerPeer[];
}

/** BEP 48. */
export interface ScrapeEntry {
  readonly complete: number;
  readonly downloaded: number;
  readonly incomplete: number;
}

interface Seated {
  readonly alias: Alias;
  readonly stranger: Stranger;
}

export interface StrangerStoreParts {
  readonly table: SwarmTable;
  readonly members: MemberStore;
  readonly now: () => number;
  readonly random: () => number;
}

export interface StrangerStoreOptions {
  readonly maxStrangers: number;
  readonly timeoutMs: number;
  readonly customaryWant: number;
  readonly maxWant: number;
}

/** Stock clients. They cannot make a swarm: only info-hashes that an origin registered exist. */
export class StrangerStore {
  readonly #parts: StrangerStoreParts;
  readonly #options: StrangerStoreOptions;
  readonly #seated = new Map<string, Seated>();
  readonly #expiry: ExpiryQueue<Seated>;

  constructor(parts: StrangerStoreParts, options: StrangerStoreOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#expiry = new ExpiryQueue(options.timeoutMs);
  }

  get size(): number {
    return this.#seated.size;
  }

  /** @throws AnnounceRefusedError */
  announce(request: StrangerAnnounce, ip: string): StrangerAnswer {
    const alias = this.#parts.table.alias(request.infoHash);
    if (alias === undefined) throw new AnnounceRefusedError('this info-hash is not served here');
    const complete = request.left === 0n;
    if (request.event === 'stopped') this.#remove(seatKey(alias, request.peerId));
    else
      this.#seat(
        alias,
        { id: request.peerId, role: 'stranger', place: NOWHERE, ip, port: request.port },
        complete,
      );
    if (request.event === 'completed') alias.downloaded++;
    const want =
      request.event === 'stopped'
        ? 0
        : Math.min(request.want ?? this.#options.customaryWant, this.#options.maxWant);
    const { downloaded: _, ...counts } = this.#counts(alias);
    return { ...counts, peers: this.#handOut(alias, request.peerId, complete, want) };
  }

  /** Undefined for an info-hash that is not served. */
  scrape(infoHash: string): ScrapeEntry | undefined {
    const alias = this.#parts.table.alias(infoHash);
    return alias && this.#counts(alias);
  }

  /** Forgets up to `budget` strangers whose time is over and returns how many. */
  sweep(budget: number): number {
    let gone = 0;
    for (; gone < budget; gone++) {
      const seated = this.#expiry.expired(this.#parts.now());
      if (seated === undefined) break;
      this.#remove(seatKey(seated.alias, seated.stranger.id));
    }
    return gone;
  }

  /** Forgets the strangers of an info-hash that is no more. */
  forget(alias: Alias): void {
    for (const stranger of alias.strangers.members()) this.#remove(seatKey(alias, stranger.id));
  }

  #seat(alias: Alias, stranger: Stranger, complete: boolean): void {
    const key = seatKey(alias, stranger.id);
    const known = this.#seated.has(key);
    if (!known && this.#seated.size >= this.#options.maxStrangers) {
      throw new AnnounceRefusedError('the tracker knows as many clients as it may');
    }
    this.#remove(key);
    const seated = { alias, stranger };
    this.#seated.set(key, seated);
    this.#expiry.touch(seated, this.#parts.now());
    alias.strangers.set(stranger, complete);
  }

  #remove(key: string): void {
    const seated = this.#seated.get(key);
    if (seated === undefined) return;
    this.#seated.delete(key);
    this.#expiry.delete(seated);
    seated.alias.strangers.delete(seated.stranger.id);
  }

  /** Half of the places for Shoal peers, which are on the spot, the rest for other strangers; either fills up for the other. */
  #handOut(alias: Alias, peerId: string, complete: boolean, want: number): StrangerPeer[] {
    const asker = { id: peerId, role: 'stranger', place: NOWHERE, complete } as const;
    const { members, random } = this.#parts;
    const strangers = alias.strangers.handOut({ asker, want, random }).map(({ member }) => member);
    const shoal = members.handOutToStranger(alias, asker, want).map(({ member }) => member);
    const own = Math.max(Math.ceil(want / 2), want - strangers.length);
    const chosen = shoal.slice(0, own);
    return [
      ...chosen.map(({ id, ip, host, port }) => ({ id, ip, host, port })),
      ...strangers.slice(0, want - chosen.length).map(({ id, ip, port }) => ({ id, ip, host: ip, port })),
    ];
  }

  #counts(alias: Alias): ScrapeEntry {
    let { complete, incomplete } = alias.strangers;
    for (const { members } of alias.blob.swarms) {
      complete += members.complete;
      incomplete += members.incomplete;
    }
    return { complete, downloaded: alias.downloaded, incomplete };
  }
}

function seatKey(alias: Alias, peerId: string): string {
  return `${alias.infoHash}${peerId}`;
}

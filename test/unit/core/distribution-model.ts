import { Distribution, UNREPLICATED_MS, WANT_GRACE_MS } from '#swarm/core/distribution.ts';

const PIECE = 256 * 1024;
const FASTEST = 1e12;

export interface Step {
  readonly kind: 'join' | 'leave' | 'has' | 'want' | 'grant';
  readonly peer: string;
  readonly index: number;
}

interface Account {
  readonly has: Set<number>;
  readonly shown: Set<number>;
  /** Shown, and not fetched so far. */
  readonly granted: Set<number>;
}

/** A distribution beside a plain account of who has and was shown what. */
export class DistributionModel {
  readonly #distribution: Distribution<string>;
  readonly #pieces: number;
  readonly #peers = new Map<string, Account>();
  /** When a piece was last shown to somebody. */
  readonly #shownAt = new Map<number, number>();

  constructor(pieces: number) {
    this.#pieces = pieces;
    this.#distribution = new Distribution(pieces);
    for (let index = 0; index < pieces; index++) this.#distribution.available(index);
  }

  /** Does the same to both; false if the distribution does not answer as the account has it. */
  agrees({ kind, peer, index }: Step, now: number): boolean {
    if (kind === 'want') return this.#want(peer, index, now);
    if (kind === 'grant') return this.#grant(peer, now);
    if (kind === 'join') this.#join(peer);
    else if (kind === 'has') this.#has(peer, index);
    else this.#leave(peer);
    return true;
  }

  #join(peer: string): void {
    if (this.#peers.has(peer)) return;
    this.#distribution.join(peer);
    this.#peers.set(peer, { has: new Set(), shown: new Set(), granted: new Set() });
  }

  #leave(peer: string): void {
    this.#distribution.leave(peer);
    this.#peers.delete(peer);
  }

  #has(peer: string, index: number): void {
    this.#distribution.has(peer, index);
    const account = this.#peers.get(peer);
    account?.has.add(index);
    account?.granted.delete(index);
  }

  #want(peer: string, index: number, now: number): boolean {
    // Who wants a piece does not have it, whatever it said before.
    this.#peers.get(peer)?.has.delete(index);
    const early = now < (this.#shownAt.get(index) ?? 0) + WANT_GRACE_MS;
    const expected = this.#lacks(peer, index) && !(early && this.#copies(index) > 0);
    if (expected) this.#show(peer, index, now);
    return this.#distribution.want(peer, index, now) === expected;
  }

  /** It shows what is due, all of it and nothing else. */
  #grant(peer: string, now: number): boolean {
    for (const index of this.#distribution.grant(peer, FASTEST, PIECE, now)) {
      if (!this.#lacks(peer, index) || !this.#due(index, now)) return false;
      this.#show(peer, index, now);
    }
    for (let index = 0; index < this.#pieces; index++)
      if (this.#lacks(peer, index) && this.#due(index, now)) return false;
    return true;
  }

  #show(peer: string, index: number, now: number): void {
    const { shown, granted } = this.#peers.get(peer)!;
    shown.add(index);
    granted.add(index);
    this.#shownAt.set(index, now);
  }

  #lacks(peer: string, index: number): boolean {
    const account = this.#peers.get(peer);
    return account !== undefined && !account.has.has(index) && !account.shown.has(index);
  }

  #copies(index: number): number {
    return [...this.#peers.values()].filter(({ has, granted }) => has.has(index) || granted.has(index))
      .length;
  }

  /** Nobody has it, or one of several has had it alone for too long. */
  #due(index: number, now: number): boolean {
    const copies = this.#copies(index);
    const late = now - (this.#shownAt.get(index) ?? 0) >= UNREPLICATED_MS;
    return copies === 0 || (copies === 1 && late);
  }
}

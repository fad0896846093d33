import { Distribution, UNREPLICATED_MS, WANT_GRACE_MS } from '#swarm/core/distribution.ts';

const PIECE = 256 * 1024;
const FASTEST = 1e12;

export interface Step {
  readonly kind: 'join' | 'leave' | 'has' | 'want' | 'grant';
  readonly peer: string;
  readonly index: number;
}

/** A distribution beside a plain account of who has and was shown what. */
export class DistributionModel {
  readonly #distribution: Distribution<string>;
  readonly #pieces: number;
  readonly #peers = new Map<string, Set<number>>();
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
    this.#peers.set(peer, new Set());
  }

  #leave(peer: string): void {
    this.#distribution.leave(peer);
    this.#peers.delete(peer);
  }

  #has(peer: string, index: number): void {
    this.#distribution.has(peer, index);
    this.#peers.get(peer)?.add(index);
  }

  #want(peer: string, index: number, now: number): boolean {
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
    this.#peers.get(peer)!.add(index);
    this.#shownAt.set(index, now);
  }

  #lacks(peer: string, index: number): boolean {
    return this.#peers.get(peer)?.has(index) === false;
  }

  #copies(index: number): number {
    return [...this.#peers.values()].filter((pieces) => pieces.has(index)).length;
  }

  /** Nobody has it, or one of several has had it alone for too long. */
  #due(index: number, now: number): boolean {
    const copies = this.#copies(index);
    const late = now - (this.#shownAt.get(index) ?? 0) >= UNREPLICATED_MS;
    return copies === 0 || (copies === 1 && late);
  }
}

import { Bitfield } from './bitfield.ts';
import { avalanche } from './ring.ts';

/** Over so long it is looked how fast pieces come. Milliseconds. */
const PACE_MS = 1_000;

/** Nothing is shared for so long where pieces come much slower than before, and twice as long the next time. Milliseconds. */
const UNSHARED_MS = 4_000;

/** With so many neighbours a zone is too large for all to know each other, and most of them know nobody beyond it. */
const MANY_NEIGHBOURS = 16;

/** Another agent of the same zone that wants the blob too. */
export interface Neighbour {
  /** Peer id, by which all know it. */
  readonly id: string;
  readonly pieces: Bitfield;
}

export interface Surroundings {
  readonly neighbours: readonly Neighbour[];
  /** Pieces that readers have waited for too long. */
  readonly overdue: ReadonlySet<number>;
  /** Pieces that have come so far. */
  readonly held: number;
}

/**
 * Which pieces an agent brings into its zone, so that each crosses the border once: of those that no neighbour has, the
 * ones for which it weighs most among them (rendezvous hashing, as in `ring.ts`). All that know the same neighbours agree,
 * without a word. Where neighbours are slow to fetch or to pass on, sharing makes pieces come slower: then it rests.
 */
export class ZoneImports {
  readonly #self: string;
  readonly #pieces: number;
  #neighbours: readonly Neighbour[] = [];
  #known = '';
  /** Worked out when it is asked for. */
  #share: Bitfield | undefined;
  #overdue: ReadonlySet<number> = new Set();
  /** When it was looked, and how many pieces there were. */
  readonly #looks: { at: number; held: number }[] = [];
  /** Most pieces in `PACE_MS`. */
  #bestPace = 0;
  #unsharedUntil = -Infinity;
  #unsharedMs = UNSHARED_MS;
  #rests = false;

  /**
   * @param self own peer id
   * @param pieces of the blob
   */
  constructor(self: string, pieces: number) {
    this.#self = self;
    this.#pieces = pieces;
  }

  /**
   * @param now milliseconds
   * @returns whether there may be more to ask for than before
   */
  update({ neighbours, overdue, held }: Surroundings, now: number): boolean {
    this.#overdue = overdue;
    this.#neighbours = neighbours;
    const hasLearnt = this.#learn(neighbours.map(({ id }) => id));
    if (this.#hasSlowed(held, now) && !this.#rests && this.#isShared) {
      this.#unsharedUntil = now + this.#unsharedMs;
      this.#unsharedMs *= 2;
    }
    const rested = this.#rests;
    this.#rests = now < this.#unsharedUntil;
    return hasLearnt || overdue.size > 0 || (this.#rests && !rested);
  }

  /** Whether agents of other zones are asked for the piece. */
  admits(index: number): boolean {
    if (!this.#isShared || this.#rests || this.#overdue.has(index)) return true;
    this.#share ??= shareOf(this.#self, this.#known.split(' '), this.#pieces);
    return this.#share.has(index) && !this.#neighbours.some(({ pieces }) => pieces.has(index));
  }

  get #isShared(): boolean {
    return this.#neighbours.length > 0 && this.#neighbours.length < MANY_NEIGHBOURS;
  }

  #learn(ids: readonly string[]): boolean {
    const known = ids.toSorted().join(' ');
    if (known === this.#known) return false;
    this.#known = known;
    this.#share = undefined;
    return true;
  }

  /** Chance makes the pace of few pieces jump: two more or less prove nothing. */
  #hasSlowed(held: number, now: number): boolean {
    const looks = this.#looks;
    looks.push({ at: now, held });
    while (looks.length > 1 && looks[1]!.at <= now - PACE_MS) looks.shift();
    if (looks[0]!.at > now - PACE_MS) return false;
    const pace = held - looks[0]!.held;
    this.#bestPace = Math.max(this.#bestPace, pace);
    return pace < this.#bestPace / 2 - 2;
  }
}

function shareOf(self: string, neighbours: readonly string[], pieces: number): Bitfield {
  const share = new Bitfield(pieces);
  const own = seedOf(self);
  const others = neighbours.map(seedOf);
  for (let index = 0; index < pieces; index++) {
    const weight = weigh(own, index);
    if (others.every((seed) => weigh(seed, index) < weight)) share.add(index);
  }
  return share;
}

/** FNV-1a, 32 bits. */
function seedOf(id: string): number {
  let seed = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) seed = Math.imul(seed ^ id.charCodeAt(at), 0x01000193);
  return seed;
}

function weigh(seed: number, index: number): number {
  return avalanche(seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0;
}

import { Bitfield } from './bitfield.ts';
import { avalanche } from './ring.ts';

/** Who was sent nothing for so long asks other zones for what its neighbours were to bring in. */
const IMPORT_PATIENCE_MS = 300;

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
  /** Somebody was asked for something that has not come yet. */
  readonly isBusy: boolean;
  /** Pieces that readers have waited for too long already. */
  readonly overdue: ReadonlySet<number>;
}

/**
 * Which pieces an agent brings into its zone, so that each crosses the border once: of those that no neighbour has, the
 * ones for which it weighs most (rendezvous hashing, as in `ring.ts`). All that know the same neighbours agree, without a word.
 */
export class ZoneImports {
  readonly #self: string;
  readonly #pieces: number;
  #neighbours: readonly Neighbour[] = [];
  #known = '';
  /** Undefined: nobody to share with. */
  #share: Bitfield | undefined;
  #busyAt = 0;
  #isPatient = true;
  #overdue: ReadonlySet<number> = new Set();

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
  update({ neighbours, isBusy, overdue }: Surroundings, now: number): boolean {
    this.#overdue = overdue;
    if (isBusy) this.#busyAt = now;
    const wasPatient = this.#isPatient;
    this.#isPatient = now - this.#busyAt < IMPORT_PATIENCE_MS;
    return this.#learn(neighbours) || (wasPatient && !this.#isPatient) || overdue.size > 0;
  }

  /** Whether agents of other zones are asked for the piece. */
  admits(index: number): boolean {
    if (!this.#share || !this.#isPatient || this.#overdue.has(index)) return true;
    return this.#share.has(index) && !this.#neighbours.some(({ pieces }) => pieces.has(index));
  }

  #learn(neighbours: readonly Neighbour[]): boolean {
    this.#neighbours = neighbours;
    const ids = neighbours.map(({ id }) => id).sort();
    const known = ids.join(' ');
    if (known === this.#known) return false;
    this.#known = known;
    const isAlone = ids.length === 0 || ids.length >= MANY_NEIGHBOURS;
    this.#share = isAlone ? undefined : shareOf(this.#self, ids, this.#pieces);
    return true;
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

import { Limiter } from '#swarm/store/limiter.ts';
import { LENT_PIECE_BYTES, PIECES_READ_AT_ONCE } from './defaults.ts';
import type { PieceMemory, PiecePool } from './piece-memory.ts';

/** Memory for pieces of stored blobs, shared by all answers that are read from them: few are verified at one time, and few stay lent. */
export class ReadMemory {
  readonly #pool: PiecePool;
  readonly #reading = new Limiter(PIECES_READ_AT_ONCE);
  #lentBytes = 0;

  constructor(pool: PiecePool) {
    this.#pool = pool;
  }

  /** Memory of `length` bytes, filled. @throws what `fill` throws */
  filled(length: number, fill: (target: Buffer) => Promise<void>): Promise<PieceMemory> {
    return this.#reading.run(() => this.#pool.filled(length, fill));
  }

  /** Whether so much may stay with an answer for as long as its client takes; if so, until it is given back. */
  lend(bytes: number): boolean {
    if (this.#lentBytes + bytes > LENT_PIECE_BYTES) return false;
    this.#lentBytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#lentBytes -= bytes;
  }
}

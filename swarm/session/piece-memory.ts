import { MAX_PIECE_LENGTH, UNIT_LENGTH } from '#swarm/core/piece-length.ts';

/**
 * Memory that holds a piece or a block, used by several for as long as each needs it: whoever keeps it `retain`s it,
 * and the last `release` gives it back for other pieces. One that is never released is merely not used again.
 */
export class PieceMemory {
  readonly data: Buffer;
  readonly #giveBack: () => void;
  #users = 1;

  /** @param giveBack called when nobody needs the memory any more */
  constructor(data: Buffer, giveBack: () => void = () => undefined) {
    this.data = data;
    this.#giveBack = giveBack;
  }

  retain(): this {
    if (this.#users <= 0) throw new Error('piece memory is used after it was given back');
    this.#users++;
    return this;
  }

  release(): void {
    if (this.#users <= 0) throw new Error('piece memory is given back twice');
    this.#users--;
    if (this.#users === 0) this.#giveBack();
  }
}

/** Bytes of a piece, lent to a reader until it `release`s the memory. */
export interface PieceBytes {
  readonly bytes: Buffer;
  readonly memory: PieceMemory;
}

/**
 * Memory for pieces, used again: fresh memory for each of thousands of pieces a second costs page faults and
 * garbage collection, about as much as all the rest. Keeps at most `limitBytes` that nobody uses.
 */
export class PiecePool {
  readonly #limit: number;
  /** By length, the one asked for longest ago first. */
  readonly #free = new Map<number, Buffer[]>();
  #freeBytes = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** Memory of `length` bytes, not cleared; up to the longest piece. */
  take(length: number): PieceMemory {
    if (length > MAX_PIECE_LENGTH)
      throw new RangeError(`a piece has at most ${MAX_PIECE_LENGTH} bytes, not ${length}`);
    const size = sizeClass(length);
    const free = this.#free.get(size) ?? [];
    // Again: the length that was asked for last comes last.
    this.#free.delete(size);
    this.#free.set(size, free);
    const room = free.pop();
    if (room) this.#freeBytes -= size;
    const buffer = room ?? Buffer.allocUnsafeSlow(size);
    return new PieceMemory(buffer.subarray(0, length), () => this.#put(buffer));
  }

  /** The same, filled. @throws what `fill` throws */
  async filled(length: number, fill: (target: Buffer) => Promise<void>): Promise<PieceMemory> {
    const memory = this.take(length);
    try {
      await fill(memory.data);
      return memory;
    } catch (error) {
      memory.release();
      throw error;
    }
  }

  /** Beyond the limit memory is dropped, first that of the length that was asked for longest ago. */
  #put(buffer: Buffer): void {
    this.#free.get(buffer.length)!.push(buffer);
    this.#freeBytes += buffer.length;
    for (const [size, free] of this.#free) {
      while (this.#freeBytes > this.#limit && free.pop()) this.#freeBytes -= size;
      if (this.#freeBytes <= this.#limit) return;
    }
  }
}

/** Powers of two from a unit up: blocks and pieces are that long, but for the last of a blob. */
function sizeClass(length: number): number {
  let size = UNIT_LENGTH;
  while (size < length) size *= 2;
  return size;
}

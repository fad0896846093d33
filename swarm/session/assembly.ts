import type { Block } from '#swarm/core/piece-table.ts';
import type { PeerSession } from './peer-session.ts';
import type { PieceMemory, PiecePool } from './piece-memory.ts';

/** A block of a piece in the making, and who sent it. */
export interface ArrivedBlock {
  readonly peer: PeerSession;
  /** Within the piece. Bytes. */
  readonly offset: number;
  readonly memory: PieceMemory;
}

/**
 * Blocks put together to pieces. Each keeps its own memory until the piece is whole: of the many pieces that are in the
 * making over slow connections most have little there. A block as long as its piece becomes the piece without a copy.
 */
export class Assembly {
  readonly #pool: PiecePool;
  readonly #pieces = new Map<number, ArrivedBlock[]>();

  constructor(pool: PiecePool) {
    this.#pool = pool;
  }

  /** Takes over the block's memory. */
  add({ index, offset }: Block, memory: PieceMemory, peer: PeerSession): void {
    const block = { peer, offset, memory };
    const blocks = this.#pieces.get(index);
    if (blocks) blocks.push(block);
    else this.#pieces.set(index, [block]);
  }

  /** Of a piece, in the order in which they came. */
  blocks(index: number): readonly ArrivedBlock[] {
    return this.#pieces.get(index) ?? [];
  }

  /** The whole piece of `size` bytes, in memory that is the caller's; its blocks stay until they are dropped. */
  join(index: number, size: number): PieceMemory {
    const blocks = this.blocks(index);
    const [first] = blocks;
    if (blocks.length === 1 && first!.memory.data.length === size) return first!.memory.retain();
    const piece = this.#pool.take(size);
    for (const { offset, memory } of blocks) memory.data.copy(piece.data, offset);
    return piece;
  }

  drop(index: number): void {
    for (const { memory } of this.blocks(index)) memory.release();
    this.#pieces.delete(index);
  }
}

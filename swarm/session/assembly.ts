import type { Block } from '#swarm/core/piece-table.ts';
import type { PeerSession } from './peer-session.ts';
import type { PieceMemory, PiecePool } from './piece-memory.ts';
import type { Contribution } from './suspects.ts';

interface PieceInTheMaking {
  readonly memory: PieceMemory;
  /** In the order in which they came. */
  readonly blocks: Contribution[];
}

/** Blocks put together to pieces. A block as long as its piece becomes the piece without a copy. */
export class Assembly {
  readonly #pool: PiecePool;
  readonly #pieces = new Map<number, PieceInTheMaking>();

  constructor(pool: PiecePool) {
    this.#pool = pool;
  }

  /** Takes over the block's memory. */
  add(block: Block, memory: PieceMemory, pieceSize: number, peer: PeerSession): void {
    const piece = this.#pieces.get(block.index);
    const contribution = { peer, offset: block.offset, length: block.length };
    if (!piece && memory.data.length === pieceSize) {
      this.#pieces.set(block.index, { memory, blocks: [contribution] });
      return;
    }
    const { memory: whole, blocks } = piece ?? this.#begin(block.index, pieceSize);
    memory.data.copy(whole.data, block.offset);
    memory.release();
    blocks.push(contribution);
  }

  get(index: number): PieceInTheMaking | undefined {
    return this.#pieces.get(index);
  }

  /** Hands the piece's memory over to the caller. */
  take(index: number): PieceMemory | undefined {
    const memory = this.#pieces.get(index)?.memory;
    this.#pieces.delete(index);
    return memory;
  }

  #begin(index: number, size: number): PieceInTheMaking {
    const piece = { memory: this.#pool.take(size), blocks: [] };
    this.#pieces.set(index, piece);
    return piece;
  }
}

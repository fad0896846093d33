import type { Block } from '#swarm/core/piece-table.ts';
import type { PeerSession } from './peer-session.ts';
import type { PieceMemory, PiecePool } from './piece-memory.ts';

interface PieceInTheMaking {
  readonly memory: PieceMemory;
  readonly contributors: Set<PeerSession>;
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
    if (!piece && memory.data.length === pieceSize) {
      this.#pieces.set(block.index, { memory, contributors: new Set([peer]) });
      return;
    }
    const { memory: whole, contributors } = piece ?? this.#begin(block.index, pieceSize);
    memory.data.copy(whole.data, block.offset);
    memory.release();
    contributors.add(peer);
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
    const piece = { memory: this.#pool.take(size), contributors: new Set<PeerSession>() };
    this.#pieces.set(index, piece);
    return piece;
  }
}

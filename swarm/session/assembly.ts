import type { Block } from '#swarm/core/piece-table.ts';
import type { PeerSession } from './peer-session.ts';

interface PieceInTheMaking {
  readonly data: Buffer;
  readonly contributors: Set<PeerSession>;
}

/** Blocks put together to pieces. A block as long as its piece becomes the piece without a copy. */
export class Assembly {
  readonly #pieces = new Map<number, PieceInTheMaking>();

  add(block: Block, data: Buffer, pieceSize: number, peer: PeerSession): void {
    const piece = this.#pieces.get(block.index);
    if (!piece && data.length === pieceSize) {
      this.#pieces.set(block.index, { data, contributors: new Set([peer]) });
      return;
    }
    const { data: whole, contributors } = piece ?? this.#begin(block.index, pieceSize);
    data.copy(whole, block.offset);
    contributors.add(peer);
  }

  get(index: number): PieceInTheMaking | undefined {
    return this.#pieces.get(index);
  }

  delete(index: number): void {
    this.#pieces.delete(index);
  }

  #begin(index: number, size: number): PieceInTheMaking {
    const piece = { data: Buffer.allocUnsafeSlow(size), contributors: new Set<PeerSession>() };
    this.#pieces.set(index, piece);
    return piece;
  }
}

const KIB = 1024;
const GIB = 1024 ** 3;

/** Requests are cut along this grid, whatever their length: 16 KiB, the block that every BitTorrent client asks for (BEP 3). */
export const UNIT_LENGTH = 16 * KIB;

/** The longest piece, hence the bound on any block. */
export const MAX_PIECE_LENGTH = 1024 * KIB;

/** A larger blob is refused: its piece table alone would be a burden (4 TiB at 1 MiB a piece is 4 Mi pieces). */
export const MAX_BLOB_SIZE = 4 * 1024 * GIB;

/**
 * Bytes in a piece of a blob of `size` bytes, a pure function so that every part cuts alike: 256 KiB up to
 * 256 MiB, 512 KiB up to 2 GiB, 1 MiB above. Small, for a piece is the least that can be verified and passed on;
 * no smaller, for each costs about a millisecond of CPU time, whatever its length (docs/performance.md).
 */
export function pieceLength(size: number): number {
  if (size <= GIB / 4) return 256 * KIB;
  return size <= 2 * GIB ? 512 * KIB : MAX_PIECE_LENGTH;
}

/** Number of pieces of a blob of `size` bytes; an empty blob has none. */
export function pieceCount(size: number): number {
  return Math.ceil(size / pieceLength(size));
}

/** Bytes in piece `index`; only the last may be short. */
export function sizeOfPiece(size: number, index: number): number {
  const length = pieceLength(size);
  return Math.min(length, size - index * length);
}

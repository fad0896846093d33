import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_BLOB_SIZE,
  MAX_PIECE_LENGTH,
  UNIT_LENGTH,
  pieceCount,
  pieceLength,
  sizeOfPiece,
} from '#swarm/core/piece-length.ts';

const KIB = 1024;
const GIB = 1024 ** 3;
const size = fc.oneof(
  fc.nat({ max: 4 * 1024 * KIB }),
  fc.nat({ max: MAX_BLOB_SIZE }),
  fc.constantFrom(0, 1, GIB / 4, GIB / 4 + 1, GIB, 2 * GIB - 1, 2 * GIB, 2 * GIB + 1, MAX_BLOB_SIZE),
);

describe('how a blob is cut into pieces', () => {
  it.each([
    [1, 256 * KIB],
    [GIB / 4, 256 * KIB],
    [GIB / 4 + 1, 512 * KIB],
    [2 * GIB, 512 * KIB],
    [2 * GIB + 1, 1024 * KIB],
    [MAX_BLOB_SIZE, 1024 * KIB],
  ])('%i bytes: pieces of %i', (bytes, length) => {
    expect(pieceLength(bytes)).toBe(length);
  });

  it('cuts into whole pieces but the last, which together are the blob', () => {
    fc.assert(
      fc.property(size, (bytes) => {
        const length = pieceLength(bytes);
        const count = pieceCount(bytes);
        expect(length).toBeLessThanOrEqual(MAX_PIECE_LENGTH);
        expect(length % UNIT_LENGTH).toBe(0);
        const last = count === 0 ? 0 : sizeOfPiece(bytes, count - 1);
        expect(last > 0 || bytes === 0).toBe(true);
        expect(last).toBeLessThanOrEqual(length);
        expect(Math.max(count - 1, 0) * length + last).toBe(bytes);
        expect(count < 2 || sizeOfPiece(bytes, count - 2) === length).toBe(true);
      }),
    );
  });
});

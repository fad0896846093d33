import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { chainOf } from '#swarm/hashes/digest-chain.ts';
import { deterministicBytes } from '../../support/bytes.ts';

const BLOCK = 128;

describe.each(['sha256', 'sha512'] as const)('the chain of a %s', (algorithm) => {
  const chain = chainOf(digestOf('any', algorithm));

  it('ends in the digest, wherever it is cut', () => {
    const message = fc.record({
      bytes: fc.uint8Array({ maxLength: 5 * BLOCK }),
      cuts: fc.array(fc.nat({ max: 5 }), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(message, ({ bytes, cuts }) => {
        const size = bytes.length;
        const inside = cuts.map((cut) => cut * BLOCK).filter((cut) => cut < size);
        const ends = [...inside.toSorted((a, b) => a - b), size];
        let link = chain.start;
        let position = 0;
        for (const end of ends) {
          link = chain.next(link, bytes.subarray(position, end), { position, size });
          position = end;
        }
        expect(link).toEqual(createHash(algorithm).update(bytes).digest());
      }),
    );
  });

  it('says the same of a piece whenever it is asked, and whatever was asked in between', () => {
    const bytes = deterministicBytes('chain', 4 * BLOCK);
    const piece = bytes.subarray(BLOCK, 3 * BLOCK);
    const place = { position: BLOCK, size: bytes.length };
    const before = chain.next(chain.start, bytes.subarray(0, BLOCK), { ...place, position: 0 });
    const after = chain.next(before, piece, place);
    chain.next(chain.start, bytes, { ...place, position: 0 });
    expect(chain.next(before, piece, place)).toEqual(after);
    expect(chain.next(chain.start, piece, place)).not.toEqual(after);
    const changed = Buffer.from(piece);
    changed[200]! ^= 1;
    expect(chain.next(before, changed, place)).not.toEqual(after);
  });

  it('counts bits beyond 2^32', () => {
    // The padding holds the length: 2^29 bytes and more do not fit into its lower word.
    const size = 2 ** 29 + 3 * BLOCK + 7;
    const chunk = deterministicBytes('long', 2 ** 22);
    const hash = createHash(algorithm);
    let link = chain.start;
    for (let position = 0; position < size; position += chunk.length) {
      const data = chunk.subarray(0, size - position);
      hash.update(data);
      link = chain.next(link, data, { position, size });
    }
    expect(link).toEqual(hash.digest());
  });

  it.each([
    ['begins within a block', 64, BLOCK, 4 * BLOCK],
    ['ends within a block and before the blob does', 0, 100, 4 * BLOCK],
    ['ends after the blob does', BLOCK, 2 * BLOCK, 2 * BLOCK],
  ])('refuses a piece that %s', (_what, position, length, size) => {
    expect(() => chain.next(chain.start, Buffer.alloc(length), { position, size })).toThrow(RangeError);
  });

  it('refuses a link of another algorithm', () => {
    expect(() => chain.next(Buffer.alloc(48), Buffer.alloc(BLOCK), { position: 0, size: BLOCK })).toThrow(
      RangeError,
    );
  });
});

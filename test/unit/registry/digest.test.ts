import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DigestError, digestHash, digestHex, digestOf, finishDigest, parseDigest } from '#registry/digest.ts';

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('a digest', () => {
  test('of nothing is the known one', () => {
    expect(digestOf('')).toBe(EMPTY);
    expect(digestHex(parseDigest(EMPTY))).toBe(EMPTY.slice(7));
  });

  test.each([
    ['no algorithm', EMPTY.slice(7)],
    ['another algorithm', `md5:${'0'.repeat(32)}`],
    ['capital hex', EMPTY.toUpperCase().replace('SHA256', 'sha256')],
    ['one digit short', EMPTY.slice(0, -1)],
    ['sha512 with the length of sha256', EMPTY.replace('sha256', 'sha512')],
    ['a line end', `${EMPTY}\n`],
    ['far too long', `sha256:${'a'.repeat(100_000)}`],
  ])('with %s is refused', (_, text) => {
    expect(() => parseDigest(text)).toThrow(DigestError);
  });

  test('of any bytes, by either algorithm, is read back and is found again by its own hash', () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (bytes, algorithm) => {
          const digest = digestOf(bytes, algorithm);
          expect(parseDigest(digest)).toBe(digest);
          expect(finishDigest(algorithm, digestHash(digest).update(bytes))).toBe(digest);
        },
      ),
    );
  });

  test('of any text is read or refused with its own error', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(() => parseDigest(text)).toThrow(DigestError);
      }),
    );
  });
});

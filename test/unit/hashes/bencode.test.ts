import bencode from 'bencode';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onlyThrows } from '../wire/only-throws.ts';
import {
  BencodeError,
  decodeBencode,
  decodeBencodePrefix,
  encodeBencode,
  type Bencodable,
  type Bencoded,
} from '#swarm/hashes/bencode.ts';

const { value: encodable } = fc.letrec<{ value: Bencodable }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.maxSafeInteger(),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.stringMatching(/^[a-z ]{0,6}$/u), tie('value'), { maxKeys: 4 }),
  ),
}));

/** Back to what was encoded. */
function plain(value: Bencoded): unknown {
  if (Buffer.isBuffer(value)) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, member]) => [key, plain(member)]));
  return value;
}

describe('bencode', () => {
  test('what was encoded is decoded, and is canonical', () => {
    fc.assert(
      fc.property(encodable, (value) => {
        expect(plain(decodeBencode(encodeBencode(value), { canonical: true }))).toEqual(
          typeof value === 'object' ? structuredClone(value) : value,
        );
      }),
    );
  });

  test('the bytes are those of the package bencode', () => {
    fc.assert(
      fc.property(encodable, (value) => {
        expect(encodeBencode(value).equals(bencode.encode(value))).toBe(true);
      }),
    );
  });

  test('any bytes are decoded or refused', () => {
    const likely = fc
      .string({ unit: fc.constantFrom('d', 'l', 'i', 'e', '-', ':', '0', '1', '2', '9', 'a') })
      .map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), likely), (bytes) => {
        expect(onlyThrows(BencodeError, () => decodeBencode(bytes))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['', 'no bencoded value'],
    ['i1', 'no bencoded value'],
    ['i01e', 'no bencoded value'],
    ['i-0e', 'no bencoded value'],
    ['i9007199254740992e', 'beyond 2^53'],
    ['4:abc', '4 bytes where 3'],
    ['-1:', '-1 bytes'],
    ['9999999999:', 'where 0'],
    ['l', 'no bencoded value'],
    ['l-3:e', 'bytes where'],
    ['di1ei2ee', 'no bencoded value'],
    ['d1:ai1e1:ai2ee', 'twice'],
    ['i1ei2e', '3 bytes follow'],
    ['l'.repeat(100_000), 'nested deeper than 32'],
  ])('%s is refused', (text, reason) => {
    expect(() => decodeBencode(Buffer.from(text))).toThrow(reason);
  });

  test('keys out of order are refused only where the canonical form is wanted', () => {
    const bytes = Buffer.from('d1:bi1e1:ai2ee');
    expect(decodeBencode(bytes)).toEqual(
      new Map([
        ['b', 1],
        ['a', 2],
      ]),
    );
    expect(() => decodeBencode(bytes, { canonical: true })).toThrow('not sorted');
  });

  test('a value is told from what follows it', () => {
    expect(decodeBencodePrefix(Buffer.from('i5exyz'))).toEqual({ value: 5, end: 3 });
  });

  test('a key may have any name', () => {
    expect(decodeBencode(Buffer.from('d9:__proto__i1ee'))).toEqual(new Map([['__proto__', 1]]));
  });
});

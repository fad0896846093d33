import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { onlyThrows } from '../wire/only-throws.ts';
import {
  answerMetadata,
  decodeMetadata,
  encodeMetadata,
  MetadataError,
  type MetadataMessage,
} from '#swarm/hashes/metadata.ts';

describe('ut_metadata (BEP 9)', () => {
  test.each<MetadataMessage>([
    { kind: 'request', piece: 0 },
    { kind: 'reject', piece: 7 },
    { kind: 'data', piece: 1, totalSize: 20_000, data: Buffer.from('d1:ae') },
  ])('a $kind comes as it was sent', (message) => {
    expect(decodeMetadata(encodeMetadata(message))).toEqual(message);
  });

  test('has the bytes of the example in the BEP', () => {
    expect(encodeMetadata({ kind: 'request', piece: 0 }).toString()).toBe('d8:msg_typei0e5:piecei0ee');
    expect(encodeMetadata({ kind: 'reject', piece: 0 }).toString()).toBe('d8:msg_typei2e5:piecei0ee');
    const data = encodeMetadata({ kind: 'data', piece: 0, totalSize: 34_256, data: Buffer.from('xxx') });
    expect(data.toString()).toBe('d8:msg_typei1e5:piecei0e10:total_sizei34256eexxx');
  });

  test('a client that asks for all parts gets the info dictionary', () => {
    const info = randomBytes(40_000);
    const parts = [0, 1, 2].map((piece) => decodeMetadata(answerMetadata(piece, info)));
    const bytes = parts.map((part) => (part?.kind === 'data' ? part.data : Buffer.alloc(0)));
    expect(Buffer.concat(bytes).equals(info)).toBe(true);
    expect(decodeMetadata(answerMetadata(3, info))).toEqual({ kind: 'reject', piece: 3 });
    expect(decodeMetadata(answerMetadata(0, undefined))).toEqual({ kind: 'reject', piece: 0 });
  });

  test.each([
    ['no piece', 'd8:msg_typei0ee'],
    ['a negative piece', 'd8:msg_typei0e5:piecei-1ee'],
    ['a piece beyond 32 bits', 'd8:msg_typei0e5:piecei4294967296ee'],
    ['data without bytes', 'd8:msg_typei1e5:piecei0e10:total_sizei1ee'],
    ['no dictionary', 'i1e'],
    ['too much', `d8:msg_typei1e5:piecei0e10:total_sizei1ee${'x'.repeat(17_000)}`],
  ])('with %s it is refused', (_, text) => {
    expect(() => decodeMetadata(Buffer.from(text))).toThrow(MetadataError);
  });

  test('an unknown kind is ignored', () => {
    expect(decodeMetadata(Buffer.from('d8:msg_typei9e5:piecei0ee'))).toBeUndefined();
  });

  test('any bytes are understood or refused', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.string().map((text) => Buffer.from(`d8:msg_typei${text}`)),
        ),
        (bytes) => {
          expect(onlyThrows(MetadataError, () => decodeMetadata(bytes))).toBe(true);
        },
      ),
    );
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { outcome } from './outcome.ts';
import {
  ContentRangeError,
  formatContentRange,
  formatRange,
  parseContentRange,
  parseRange,
} from '#registry/range.ts';

describe('a Range header', () => {
  test.each([
    [undefined, 10, 'whole'],
    ['bytes=0-', 10, { start: 0, end: 9 }],
    ['bytes=2-4', 10, { start: 2, end: 4 }],
    ['Bytes=2-4', 10, { start: 2, end: 4 }],
    ['bytes=9-99', 10, { start: 9, end: 9 }],
    ['bytes=-3', 10, { start: 7, end: 9 }],
    ['bytes=-30', 10, { start: 0, end: 9 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=-1', 0, 'unsatisfiable'],
    ['bytes=99999999999999999999999-', 10, 'unsatisfiable'],
    ['bytes=1-99999999999999999999999', 10, { start: 1, end: 9 }],
    ['bytes=4-2', 10, 'whole'],
    ['bytes=0-1,3-4', 10, 'whole'],
    ['items=0-1', 10, 'whole'],
    ['bytes=', 10, 'whole'],
    ['bytes=-', 10, 'whole'],
    ['bytes=a-b', 10, 'whole'],
    ['bytes=0x1-2', 10, 'whole'],
  ])('%s of %i bytes gives %j', (header, size, wanted) => {
    expect(parseRange(header, size)).toEqual(wanted);
  });

  test('of any text gives bytes that are there', () => {
    const headers = fc.oneof(fc.string(), fc.stringMatching(/^bytes=[0-9]{0,20}-[0-9]{0,20}$/u));
    fc.assert(
      fc.property(headers, fc.nat(), (header, size) => {
        const range = parseRange(header, size);
        const { start, end } = typeof range === 'string' ? { start: 0, end: 0 } : range;
        const inside = start >= 0 && end >= start && (end < size || typeof range === 'string');
        expect(inside).toBe(true);
      }),
    );
  });

  test('that we write is read as it was meant', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (start, more, rest) => {
        expect(parseRange(formatRange(start, start + more), start + more + 1 + rest)).toEqual({
          start,
          end: start + more,
        });
      }),
    );
  });
});

describe('a Content-Range header', () => {
  test.each([
    '',
    'bytes',
    'bytes 0-1',
    'bytes 2-1/9',
    'bytes 0-9/9',
    'bytes */*',
    'items 0-1/2',
    'bytes 0-1/9007199254740993',
  ])('%j is refused', (header) => {
    expect(() => parseContentRange(header)).toThrow(ContentRangeError);
  });

  test('that we write is read back', () => {
    const unsatisfied = fc.record({ kind: fc.constant('unsatisfied' as const), size: fc.maxSafeNat() });
    const range = fc
      .tuple(fc.nat(), fc.nat(), fc.option(fc.nat(), { nil: undefined }))
      .map(([start, more, rest]) => {
        const end = start + more;
        return rest === undefined
          ? { kind: 'range' as const, start, end }
          : { kind: 'range' as const, start, end, size: end + 1 + rest };
      });
    fc.assert(
      fc.property(fc.oneof(unsatisfied, range), (value) => {
        expect(parseContentRange(formatContentRange(value))).toEqual(value);
      }),
    );
  });

  test('of any text is read or refused with its own error', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^bytes [0-9*]{1,17}-?[0-9]{0,17}\/[0-9*]{1,17}$/u)),
        (text) => {
          const { value, error } = outcome(() => parseContentRange(text));
          expect(error === undefined || error instanceof ContentRangeError).toBe(true);
          const inside =
            value?.kind !== 'range' || (value.start <= value.end && value.end < (value.size ?? Infinity));
          expect(inside).toBe(true);
        },
      ),
    );
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseRate,
  parseSize,
  UnitError,
} from '#service/config/units.ts';

describe('sizes', () => {
  test.each([
    ['0', 0],
    ['1024', 1024],
    ['50GiB', 50 * 2 ** 30],
    ['1.5 kB', 1500],
    ['20MB', 20_000_000],
    ['3B', 3],
    ['4503599627370497B', 4_503_599_627_370_497],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(['', '-1', '1e9', '5 apples', '10gb', '10 GiB/s', 'GiB', '9999999TiB', '0x10', '1kiB'])(
    '%j is none',
    (text) => {
      expect(() => parseSize(text)).toThrow('a size such as');
    },
  );
});

describe('rates', () => {
  test('a rate is a size per second', () => {
    expect(parseRate('20MB/s')).toBe(20_000_000);
  });

  test.each(['20MB', '/s', '20MB/m', '20MB /s', ''])('%j is none', (text) => {
    expect(() => parseRate(text)).toThrow('a rate such as');
  });
});

describe('durations', () => {
  test.each([
    ['0', 0],
    ['250ms', 250],
    ['2.5s', 2500],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['1m500ms', 60_500],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', '5', '-5s', '5 minutes', '30m1h', '1h1h', 'ms'])('%j is none', (text) => {
    expect(() => parseDuration(text)).toThrow('a duration such as');
  });
});

test('a formatted quantity is read back exactly', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 31 }), fc.constantFrom(1, 1000, 1024, 3_600_000), (count, factor) => {
      const value = count * factor;
      expect(parseSize(formatSize(value))).toBe(value);
      expect(parseRate(formatRate(value))).toBe(value);
      const ms = Math.min(value, 1e12 - 1);
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }),
  );
});

test('any text is a safe whole number or a UnitError', () => {
  const units = fc.stringMatching(/^[0-9.]{0,20} ?[kKMGTi]{0,2}[Bsmhd/]{0,3}$/);
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), units),
      fc.constantFrom(parseSize, parseRate, parseDuration),
      (text, parse) => {
        let value: unknown;
        try {
          value = parse(text);
        } catch (error) {
          value = error;
        }
        expect(Number.isSafeInteger(value) || value instanceof UnitError).toBe(true);
      },
    ),
  );
});

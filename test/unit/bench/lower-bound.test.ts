import { describe, expect, test } from 'vitest';
import { lowerBound, secondsFor } from '../../../bench/lower-bound.ts';

const MIB = 2 ** 20;
const link = (mbit: number): { upMbit: number; downMbit: number } => ({ upMbit: mbit, downMbit: mbit });

describe('the least time to bring a blob to all', () => {
  test('is one transfer of it where all links are alike', () => {
    const bound = lowerBound(256 * MIB, link(100), Array(8).fill(link(100)));
    expect(bound).toBeCloseTo(21.47, 2);
  });

  test('is the source’s where its link is the thinnest', () => {
    const bound = lowerBound(MIB, link(10), [link(100), link(1000)]);
    expect(bound).toBe(secondsFor(MIB, 10));
  });

  test('is the slowest receiver’s where that one’s link is the thinnest', () => {
    const bound = lowerBound(MIB, link(1000), [link(20), link(1000)]);
    expect(bound).toBe(secondsFor(MIB, 20));
  });

  test('is set by all uploads together where nobody can upload much', () => {
    const peer = { upMbit: 1, downMbit: 1000 };
    const bound = lowerBound(MIB, link(6), [peer, peer, peer, peer]);
    expect(bound).toBe(secondsFor(4 * MIB, 6 + 4));
  });
});

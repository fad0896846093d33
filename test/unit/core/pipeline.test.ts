import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blockBytes, MAX_PIPELINE_BYTES, pipelineBytes, Rate } from '#swarm/core/pipeline.ts';

const BLOCK = 128 * 1024;

describe('a rate', () => {
  it.each([100, 1_000, 20_000])('of bytes that come evenly is theirs after %i ms', (duration) => {
    const rate = new Rate();
    for (let now = 0; now < duration; now++) rate.add(5_000, now);
    const perSecond = rate.perSecond(duration);
    expect(perSecond).toBeGreaterThan(4_500_000);
    expect(perSecond).toBeLessThan(5_500_000);
  });

  it('is nothing before a byte has come, and not enormous after the first block', () => {
    const rate = new Rate();
    expect(rate.perSecond(5)).toBe(0);
    rate.add(BLOCK, 5);
    expect(rate.perSecond(5)).toBeLessThan(12 * BLOCK);
  });

  it('counts the time that the first block was waited for', () => {
    const rate = new Rate();
    rate.resume(0);
    expect(rate.perSecond(4_000)).toBe(0);
    rate.add(BLOCK, 4_000);
    expect(rate.perSecond(4_000)).toBeLessThan(BLOCK);
  });

  it('is what it was when nothing was waited for meanwhile', () => {
    const rate = new Rate();
    rate.resume(0);
    for (let now = 0; now < 3_000; now++) rate.add(5_000, now);
    rate.pause(3_000);
    const before = rate.perSecond(3_000);
    expect(rate.perSecond(4_500)).toBe(before);
    rate.resume(4_500);
    expect(rate.perSecond(4_500)).toBeCloseTo(before);
    expect(rate.perSecond(5_500) / before).toBeLessThan(0.6);
  });

  it('is not known any more when nothing was waited for for long', () => {
    const rate = new Rate();
    rate.resume(0);
    rate.add(1e6, 1_000);
    rate.pause(1_000);
    expect(rate.perSecond(60_000)).toBe(0);
    rate.resume(60_000);
    expect(rate.perSecond(61_000)).toBe(0);
    rate.add(1_000, 61_000);
    expect(rate.perSecond(61_000)).toBeLessThan(2_000);
  });

  it('is half after each second of silence', () => {
    const rate = new Rate();
    for (let now = 0; now < 30_000; now++) rate.add(1_000, now);
    const before = rate.perSecond(30_000);
    expect(rate.perSecond(31_000) / before).toBeCloseTo(0.5, 2);
    expect(rate.perSecond(40_000) / before).toBeLessThan(0.001);
  });

  it('is never negative nor endless, whatever the clock does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 1e7 }), fc.nat({ max: 1e6 })), { maxLength: 50 }),
        (events) => {
          const rate = new Rate();
          for (const [bytes, now] of events) {
            rate.add(bytes, now);
            const perSecond = rate.perSecond(now);
            expect(perSecond).toBeGreaterThanOrEqual(0);
            expect(Number.isFinite(perSecond)).toBe(true);
          }
        },
      ),
    );
  });
});

describe('the length of a block', () => {
  const LONGEST = 256 * 1024;

  it.each([
    [0, 128],
    [1, 32],
    [200_000, 32],
    [400_000, 64],
    [1e6, 128],
    [1.1e6, 256],
    [1e9, 256],
  ])('at %i bytes a second is %i KiB', (rate, kib) => {
    expect(blockBytes(LONGEST, rate)).toBe(kib * 1024);
  });

  it.each([0, 1, 1e9])('is never more than the peer gives at once (%i bytes a second)', (rate) => {
    expect(blockBytes(16_384, rate)).toBe(16_384);
  });
});

describe('what is kept asked of a peer', () => {
  it('is at least two blocks, grows with the rate, and has a bound', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e11, noNaN: true }),
        fc.double({ min: 0, max: 1e11, noNaN: true }),
        (a, b) => {
          const [less, more] = [Math.min(a, b), Math.max(a, b)];
          expect(pipelineBytes(BLOCK, less)).toBeGreaterThanOrEqual(2 * BLOCK);
          expect(pipelineBytes(BLOCK, more)).toBeGreaterThanOrEqual(pipelineBytes(BLOCK, less));
          expect(pipelineBytes(BLOCK, more)).toBeLessThanOrEqual(MAX_PIPELINE_BYTES);
        },
      ),
    );
    expect(pipelineBytes(BLOCK, 1e11)).toBe(MAX_PIPELINE_BYTES);
  });
});

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairLimiter } from '#swarm/core/fair-limiter.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** A block more than the burst may be passed on credit. */
const SLACK = 256 * KIB + 256 * KIB;

interface Item {
  readonly flow: string;
  readonly bytes: number;
}

/** Runs the limiter as its caller does, asking again after the wait that it names. */
function drain(limiter: FairLimiter<Item>, until: number): { item: Item; at: number }[] {
  const passed: { item: Item; at: number }[] = [];
  for (let now = 0; now <= until; now += Math.max(limiter.waitMs(now), 1)) {
    for (let item = limiter.next(now); item; item = limiter.next(now)) passed.push({ item, at: now });
    if (!limiter.waiting) break;
  }
  return passed;
}

function queued(limiter: FairLimiter<Item>, items: Iterable<Item>): FairLimiter<Item> {
  for (const item of items) limiter.add(item.flow, item, item.bytes);
  return limiter;
}

const items = fc.array(
  fc.record({ flow: fc.constantFrom('a', 'b', 'c'), bytes: fc.integer({ min: 1, max: 256 * KIB }) }),
  { maxLength: 80 },
);

describe('a bandwidth limit', () => {
  it('passes never more in any span of time than its rate allows and one burst, and all in the end', () => {
    fc.assert(
      fc.property(items, fc.integer({ min: 64_000, max: 50 * MIB }), (all, rate) => {
        const limiter = queued(new FairLimiter<Item>(rate, 0), all);
        const passed = drain(limiter, 1e9);
        expect(passed).toHaveLength(all.length);
        let before = 0;
        for (const { item, at } of passed) {
          before += item.bytes;
          const burst = Math.max(SLACK, rate * 0.1 + 256 * KIB);
          expect(before).toBeLessThanOrEqual((rate * at) / 1_000 + burst);
        }
      }),
    );
  });

  it('keeps the order within a flow', () => {
    fc.assert(
      fc.property(items, (all) => {
        const passed = drain(queued(new FairLimiter<Item>(MIB, 0), all), 1e9);
        for (const flow of ['a', 'b', 'c'])
          expect(passed.map(({ item }) => item).filter((item) => item.flow === flow)).toEqual(
            all.filter((item) => item.flow === flow),
          );
      }),
    );
  });

  it('is shared evenly, however much of each waits', () => {
    const limiter = new FairLimiter<Item>(MIB, 0);
    const many = Array.from({ length: 500 }, () => ({ flow: 'greedy', bytes: 64 * KIB }));
    const few = Array.from({ length: 50 }, () => ({ flow: 'modest', bytes: 64 * KIB }));
    const passed = drain(queued(limiter, [...many, ...few]), 6_000).map(({ item }) => item.flow);
    const modest = passed.filter((flow) => flow === 'modest').length;
    expect(modest).toBe(50);
    expect(passed.slice(0, 100).filter((flow) => flow === 'modest').length).toBe(50);
  });

  it('is used fully while something waits', () => {
    const all = Array.from({ length: 400 }, () => ({ flow: 'a', bytes: 128 * KIB }));
    const passed = drain(queued(new FairLimiter<Item>(10 * MIB, 0), all), 1e9);
    const seconds = passed.at(-1)!.at / 1_000;
    expect((400 * 128 * KIB) / seconds).toBeGreaterThan(0.95 * 10 * MIB);
  });

  it('has a long item paid for by those after it', () => {
    const limiter = new FairLimiter<Item>(64 * KIB, 0);
    queued(limiter, [
      { flow: 'a', bytes: 256 * KIB },
      { flow: 'a', bytes: 256 * KIB },
      { flow: 'a', bytes: 1 },
    ]);
    expect(limiter.next(0)).toBeDefined();
    expect(limiter.next(0)).toBeUndefined();
    expect(limiter.next(1)).toBeDefined();
    expect(limiter.next(3_000)).toBeUndefined();
    expect(limiter.next(3_000 + limiter.waitMs(3_000))).toBeDefined();
  });

  it('has given back what an item did not need', () => {
    const limiter = queued(new FairLimiter<Item>(64 * KIB, 0), [
      { flow: 'a', bytes: 256 * KIB },
      { flow: 'a', bytes: 256 * KIB },
    ]);
    limiter.next(0);
    expect(limiter.next(0)).toBeUndefined();
    limiter.refund(256 * KIB);
    expect(limiter.next(0)).toBeDefined();
  });

  it('earns no more than a burst while nothing waits, nor by giving back', () => {
    const limiter = new FairLimiter<Item>(64 * KIB, 0);
    for (let at = 0; at < 20; at++) limiter.refund(MIB);
    queued(
      limiter,
      Array.from({ length: 9 }, () => ({ flow: 'a', bytes: 128 * KIB })),
    );
    let passed = 0;
    while (limiter.next(3_600_000)) passed++;
    expect(passed).toBe(2);
  });

  it('follows a change at once, also to none and back', () => {
    const limiter = queued(
      new FairLimiter<Item>(Infinity, 0),
      Array.from({ length: 100 }, () => ({ flow: 'a', bytes: 128 * KIB })),
    );
    for (let at = 0; at < 50; at++) expect(limiter.next(0)).toBeDefined();
    limiter.setRate(MIB, 0);
    expect(limiter.next(0)).toBeUndefined();
    expect(limiter.waitMs(0)).toBeLessThanOrEqual(1);
    expect(limiter.next(1)).toBeDefined();
    expect(limiter.next(1)).toBeUndefined();
    limiter.setRate(Infinity, 1);
    expect(limiter.waitMs(1)).toBe(0);
    let passed = 0;
    while (limiter.next(1)) passed++;
    expect(passed).toBe(49);
    expect(limiter.waiting).toBe(false);
  });
});

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FairShares, LINKS_PER_FLOW, NO_LINK } from '../../../sim/fair-shares.ts';

/** The rates of flows over links of those capacities. */
function ratesOf(capacities: readonly number[], flows: readonly (readonly number[])[]): number[] {
  const shares = new FairShares();
  for (const capacity of capacities) shares.addLink(capacity);
  const links = new Int32Array(flows.length * LINKS_PER_FLOW).fill(NO_LINK);
  for (const [flow, crossed] of flows.entries()) links.set(crossed, flow * LINKS_PER_FLOW);
  const rates = new Float64Array(flows.length);
  shares.share(Int32Array.from(flows.keys()), flows.length, links, rates);
  return [...rates];
}

describe('max-min fair shares', () => {
  test('flows that share one link have equal parts of it', () => {
    expect(
      ratesOf(
        [90, 100, 100, 100],
        [
          [0, 1],
          [0, 2],
          [0, 3],
        ],
      ),
    ).toEqual([30, 30, 30]);
  });

  test('what a flow cannot use, because it is held up elsewhere, the others have', () => {
    expect(
      ratesOf(
        [90, 10, 100, 100],
        [
          [0, 1],
          [0, 2],
          [0, 3],
        ],
      ),
    ).toEqual([10, 40, 40]);
  });

  test('the textbook case: a long flow shares with one on each link, and the wide link has room left over', () => {
    // Bertsekas and Gallager: links of 1 and 3; a flow over both, one over each.
    expect(ratesOf([1, 3], [[0, 1], [0], [1]])).toEqual([0.5, 0.5, 2.5]);
  });

  test('a thin link between zones holds up only those that cross it', () => {
    const rates = ratesOf(
      [100, 100, 100, 4, 100],
      [
        [0, 3, 4, 1],
        [0, 3, 4, 2],
        [0, 2],
      ],
    );
    expect(rates).toEqual([2, 2, 96]);
  });

  test('no link carries more than it can, and no flow could have more without one that has no more having less', () => {
    const network = fc.integer({ min: 2, max: 12 }).chain((links) =>
      fc.record({
        capacities: fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: links, maxLength: links }),
        flows: fc.array(fc.uniqueArray(fc.nat(links - 1), { minLength: 2, maxLength: 4 }), { maxLength: 60 }),
      }),
    );
    fc.assert(
      fc.property(network, ({ capacities, flows }) => {
        const rates = ratesOf(capacities, flows);
        const loads = capacities.map(() => 0);
        for (const [flow, crossed] of flows.entries())
          for (const link of crossed) loads[link]! += rates[flow]!;
        for (const [link, capacity] of capacities.entries())
          expect(loads[link]).toBeLessThan(capacity + 1e-6);
        for (const [flow, crossed] of flows.entries()) {
          const held = crossed.some(
            (link) =>
              loads[link]! > capacities[link]! - 1e-6 &&
              flows.every((other, at) => !other.includes(link) || rates[at]! < rates[flow]! + 1e-6),
          );
          expect(held).toBe(true);
        }
      }),
    );
  });
});

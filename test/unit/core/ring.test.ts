import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { owners } from '#swarm/core/ring.ts';

const member = fc.string({ minLength: 1, maxLength: 40 });
const members = fc.uniqueArray(member, { maxLength: 12 });
const keys = Array.from({ length: 6000 }, (_, at) => `sha256:${at.toString(16).padStart(64, '0')}`);

describe('the origin ring', () => {
  it('names every member once, the same to all whatever the order they know them in', () => {
    fc.assert(
      fc.property(fc.string(), members, fc.nat(), (key, all, turn) => {
        const named = owners(key, all);
        expect(named.toSorted()).toEqual(all.toSorted());
        const turned = [
          ...all.slice(turn % (all.length + 1)),
          ...all.slice(0, turn % (all.length + 1)),
        ].toReversed();
        expect(owners(key, [...turned, ...turned])).toEqual(named);
      }),
    );
  });

  it('keeps the order of the others when a member is lost: the next takes over, nothing else moves', () => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.uniqueArray(member, { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (key, all, pick) => {
          const lost = all[pick % all.length]!;
          const without = all.filter((name) => name !== lost);
          expect(owners(key, without)).toEqual(owners(key, all).filter((name) => name !== lost));
        },
      ),
    );
  });

  it.each([2, 3, 5, 10])('spreads keys evenly over %i members, as first and as second owners', (count) => {
    const all = Array.from({ length: count }, (_, at) => `origin-${at}.shoal.svc:29520`);
    for (const place of [0, 1]) {
      const owned = new Map(all.map((name) => [name, 0]));
      for (const key of keys) {
        const name = owners(key, all)[place]!;
        owned.set(name, owned.get(name)! + 1);
      }
      const fair = keys.length / count;
      // Five standard deviations of a fair draw.
      const slack = 5 * Math.sqrt(fair * (1 - 1 / count));
      for (const share of owned.values()) expect(Math.abs(share - fair)).toBeLessThan(slack);
    }
  });

  it('spreads over members whose names differ in one character, and keys that do', () => {
    const all = ['a', 'b', 'c', 'd'];
    const first = Array.from({ length: 4000 }, (_, at) => owners(String.fromCharCode(at), all)[0]);
    for (const name of all) {
      const share = first.filter((owner) => owner === name).length;
      expect(Math.abs(share - 1000)).toBeLessThan(5 * Math.sqrt(750));
    }
  });

  it('has nobody to name without members', () => {
    expect(owners('key', [])).toEqual([]);
  });
});

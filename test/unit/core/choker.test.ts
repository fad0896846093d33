import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseUnchoked, OPTIMISTIC_SLOTS, UPLOAD_SLOTS } from '#swarm/core/choker.ts';
import { seededRandom } from './random.ts';

const candidate = fc.record({
  interested: fc.boolean(),
  sent: fc.nat({ max: 5 }),
  pieces: fc.nat({ max: 5 }),
});

describe('the choker', () => {
  it('serves all who are interested while there are places, else exactly as many as there are, and nobody else', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 20 }),
        fc.integer({ min: 0, max: 12 }),
        fc.integer(),
        (all, slots, seed) => {
          const candidates = all.map((one, peer) => ({ peer, ...one }));
          const chosen = chooseUnchoked(candidates, seededRandom(seed), slots);
          const interested = candidates.filter((one) => one.interested).map(({ peer }) => peer);
          expect(chosen.size).toBe(Math.min(interested.length, slots));
          for (const peer of chosen) expect(interested).toContain(peer);
        },
      ),
    );
  });

  it('prefers who got least, then who has least', () => {
    const candidates = Array.from({ length: 40 }, (_, peer) => ({
      peer,
      interested: true,
      sent: peer % 2,
      pieces: peer,
    }));
    const chosen = chooseUnchoked(candidates, seededRandom(3), 10);
    for (let peer = 0; peer < 2 * (10 - OPTIMISTIC_SLOTS); peer += 2) expect(chosen.has(peer)).toBe(true);
  });

  it('lets nobody starve: in many rounds each of a crowd is served about as often', () => {
    const random = seededRandom(7);
    const served = Array.from({ length: 100 }, () => 0);
    let last = new Set<number>();
    const rounds = 400;
    for (let round = 0; round < rounds; round++) {
      const candidates = served.map((_, peer) => ({
        peer,
        interested: true,
        sent: last.has(peer) ? 1_000_000 : 0,
        pieces: Math.floor(random() * 3),
      }));
      last = chooseUnchoked(candidates, random);
      for (const peer of last) served[peer]!++;
    }
    const fair = (rounds * UPLOAD_SLOTS) / served.length;
    expect(Math.min(...served)).toBeGreaterThan(fair * 0.7);
    expect(Math.max(...served)).toBeLessThan(fair * 1.3);
  });

  it('serves also those whom an idle crowd with nothing would push aside for ever', () => {
    const random = seededRandom(9);
    let rich = 0;
    for (let round = 0; round < 400; round++) {
      const candidates = Array.from({ length: UPLOAD_SLOTS + 20 }, (_, peer) => ({
        peer,
        interested: true,
        sent: 0,
        pieces: peer === 0 ? 500 : 0,
      }));
      if (chooseUnchoked(candidates, random).has(0)) rich++;
    }
    expect(rich).toBeGreaterThan(5);
  });
});

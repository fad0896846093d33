import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Distribution,
  FIRST_PIECE_COPIES,
  GRANT_SECONDS,
  LONGEST_FETCH_MS,
  MAX_GRANTS,
  MIN_GRANTS,
  UNREPLICATED_MS,
  WANT_GRACE_MS,
} from '#swarm/core/distribution.ts';
import { DistributionModel, type Step } from './distribution-model.ts';

const PIECE = 256 * 1024;

function source(pieces: number, peers: string[]): Distribution<string> {
  const distribution = new Distribution<string>(pieces);
  for (let index = 0; index < pieces; index++) distribution.available(index);
  for (const peer of peers) distribution.join(peer);
  return distribution;
}

describe('the first source of a blob', () => {
  it('shows each piece to one peer, in order, however fast and in whatever turns they take them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat({ max: 20e6 })), {
          minLength: 120,
          maxLength: 200,
        }),
        (turns) => {
          const distribution = source(60, ['a', 'b', 'c']);
          const shown: number[] = [];
          for (const [peer, rate] of turns) {
            for (const index of distribution.grant(peer, rate, PIECE, 0)) {
              shown.push(index);
              distribution.has(peer, index);
            }
          }
          expect(shown).toEqual(Array.from({ length: 60 }, (_, index) => index));
        },
      ),
    );
  });

  it('shows the first piece of a large blob, which all wait for, to several, and of a small one to one', () => {
    const peers = Array.from({ length: 8 }, (_, at) => `peer ${at}`);
    const holders = (pieces: number): number => {
      const distribution = source(pieces, peers);
      return peers.flatMap((peer) => distribution.grant(peer, 0, PIECE, 0)).filter((index) => index === 0)
        .length;
    };
    expect(holders(63)).toBe(1);
    expect(holders(64)).toBe(2);
    expect(holders(1024)).toBe(FIRST_PIECE_COPIES);
  });

  it('shows nothing that it does not have itself', () => {
    const distribution = new Distribution<string>(10);
    distribution.join('a');
    expect(distribution.grant('a', 0, PIECE, 0)).toEqual([]);
    expect(distribution.want('a', 4, 0)).toBe(false);
    distribution.available(4);
    expect(distribution.grant('a', 0, PIECE, 0)).toEqual([4]);
  });

  it('shows a peer only as much ahead as it takes in a moment, and more when it says that it has taken some', () => {
    const distribution = source(200, ['slow', 'quick', 'fastest']);
    expect(distribution.grant('slow', 0, PIECE, 0)).toHaveLength(MIN_GRANTS);
    expect(distribution.grant('slow', 0, PIECE, 0)).toEqual([]);
    expect(distribution.grant('quick', (10 * PIECE) / GRANT_SECONDS, PIECE, 0)).toHaveLength(10);
    expect(distribution.grant('fastest', 1e12, PIECE, 0)).toHaveLength(MAX_GRANTS);
    expect(distribution.has('slow', 3)).toBe(false);
    expect(distribution.grant('slow', 0, PIECE, 0)).toEqual([]);
    distribution.sent('slow', 0, 0);
    expect(distribution.has('slow', 0)).toBe(true);
    expect(distribution.has('slow', 0)).toBe(false);
    expect(distribution.grant('slow', 0, PIECE, 0)).toHaveLength(1);
  });

  it('shows a piece again when its only holder leaves', () => {
    const distribution = source(4, ['a', 'b']);
    expect(distribution.grant('a', 0, PIECE, 0)).toEqual([0, 1]);
    distribution.has('a', 0);
    expect(distribution.grant('b', 0, PIECE, 0)).toEqual([2, 3]);
    distribution.has('b', 2);
    distribution.has('b', 3);
    distribution.leave('a');
    expect(distribution.grant('b', 0, PIECE, 0)).toEqual([0, 1]);
  });

  it('shows no piece again whose holder left after it had passed it on', () => {
    const distribution = source(2, ['a', 'b']);
    distribution.grant('a', 0, PIECE, 0);
    for (const index of [0, 1]) {
      distribution.has('a', index);
      distribution.has('b', index);
    }
    distribution.leave('a');
    distribution.join('c');
    expect(distribution.grant('c', 0, PIECE, UNREPLICATED_MS - 1)).toEqual([]);
  });

  it('shows a piece to another peer when its only holder has not passed it on in time', () => {
    const distribution = source(2, ['a', 'b']);
    distribution.grant('a', 0, PIECE, 1_000);
    distribution.has('a', 0);
    expect(distribution.grant('b', 0, PIECE, 1_000 + UNREPLICATED_MS - 1)).toEqual([]);
    expect(distribution.grant('b', 0, PIECE, 1_000 + UNREPLICATED_MS)).toEqual([0, 1]);
    expect(distribution.grant('a', 0, PIECE, 1_000 + 2 * UNREPLICATED_MS)).toEqual([]);
  });

  it('shows a piece that is still being sent to nobody else, by name neither', () => {
    const distribution = source(2, ['a', 'b']);
    distribution.grant('a', 0, PIECE, 0);
    distribution.sent('a', 0, UNREPLICATED_MS - 1);
    expect(distribution.grant('b', 0, PIECE, UNREPLICATED_MS)).toEqual([]);
    expect(distribution.want('b', 1, UNREPLICATED_MS - 2 + WANT_GRACE_MS)).toBe(false);
    expect(distribution.grant('b', 0, PIECE, 2 * UNREPLICATED_MS - 2)).toEqual([]);
    expect(distribution.grant('b', 0, PIECE, 2 * UNREPLICATED_MS - 1)).toEqual([0, 1]);
  });

  it('does not wait for ever for a peer that fetches too slowly', () => {
    const distribution = source(1, ['a', 'b']);
    distribution.grant('a', 0, PIECE, 0);
    for (let now = 0; now < 2 * LONGEST_FETCH_MS; now += 500) distribution.sent('a', 0, now);
    expect(distribution.want('b', 0, LONGEST_FETCH_MS - 500 + WANT_GRACE_MS - 1)).toBe(false);
    expect(distribution.want('b', 0, LONGEST_FETCH_MS - 500 + WANT_GRACE_MS)).toBe(true);
  });

  it('does not take the word of a peer that was sent nothing of a piece', () => {
    const distribution = source(9, ['a']);
    distribution.grant('a', 0, PIECE, 0);
    distribution.sent('a', 1, 0);
    expect(distribution.has('a', 0)).toBe(false);
    expect(distribution.has('a', 1)).toBe(true);
  });

  it('does not count what is sent after the peer has it', () => {
    const distribution = source(1, ['a', 'b']);
    distribution.grant('a', 0, PIECE, 0);
    distribution.has('a', 0);
    distribution.sent('a', 0, UNREPLICATED_MS - 1);
    expect(distribution.grant('b', 0, PIECE, UNREPLICATED_MS)).toEqual([0]);
  });

  it('leaves a piece alone that somebody else has got meanwhile', () => {
    const distribution = source(2, ['a', 'b', 'c']);
    distribution.grant('a', 0, PIECE, 0);
    distribution.has('a', 0);
    distribution.has('b', 0);
    expect(distribution.grant('c', 0, PIECE, UNREPLICATED_MS)).toEqual([1]);
  });

  it('shows by name at once what one alone was shown, when some of each piece of a large blob has been sent', () => {
    const distribution = source(64, ['a', 'b', 'c']);
    const shown = distribution.grant('a', 0, PIECE, 0);
    while (shown.length < 64) {
      const index = shown.at(-1)!;
      distribution.sent('a', index, 0);
      distribution.has('a', index);
      shown.push(...distribution.grant('a', 0, PIECE, 0));
    }
    expect(distribution.want('b', 60, 0)).toBe(false);
    for (const index of shown) distribution.sent('a', index, 0);
    expect(distribution.want('b', 60, 0)).toBe(true);
    expect(distribution.want('b', 60, 0)).toBe(false);
    // Another soon has it of two.
    expect(distribution.want('c', 60, 0)).toBe(false);
    expect(distribution.want('c', 60, WANT_GRACE_MS)).toBe(true);
  });

  it('shows a piece by name to a peer that wants it, once', () => {
    const distribution = source(9, ['a', 'b']);
    distribution.grant('a', 0, PIECE, 0);
    expect(distribution.want('b', 1, WANT_GRACE_MS)).toBe(true);
    expect(distribution.want('b', 1, WANT_GRACE_MS)).toBe(false);
    expect(distribution.want('b', 7, 0)).toBe(true);
    expect(distribution.want('nobody', 3, 0)).toBe(false);
    expect(distribution.grant('a', 1e9, PIECE, 0)).toEqual([2, 3, 4, 5, 6, 8]);
  });

  it('shows a piece by name to a peer that had it from another and has lost it', () => {
    const distribution = source(4, ['a', 'b']);
    distribution.has('a', 1);
    expect(distribution.want('a', 1, 0)).toBe(true);
    expect(distribution.grant('b', 1e9, PIECE, 0)).toEqual([0, 2, 3]);
  });

  it('shows nobody by name what another is fetching, until that one has had the time or is gone', () => {
    const distribution = source(9, ['a', 'b', 'c']);
    expect(distribution.grant('a', 0, PIECE, 0)).toEqual([0, 1]);
    expect(distribution.want('b', 0, WANT_GRACE_MS - 1)).toBe(false);
    expect(distribution.want('b', 0, WANT_GRACE_MS)).toBe(true);
    expect(distribution.want('c', 0, WANT_GRACE_MS + 1)).toBe(false);
    distribution.leave('a');
    expect(distribution.want('c', 1, 2)).toBe(true);
  });

  it('shows a piece again that is alone once more since one of its two holders left', () => {
    const distribution = source(1, ['a', 'b', 'c']);
    distribution.grant('a', 0, PIECE, 0);
    distribution.has('a', 0);
    distribution.has('b', 0);
    expect(distribution.grant('c', 0, PIECE, UNREPLICATED_MS)).toEqual([]);
    distribution.leave('b');
    expect(distribution.grant('c', 0, PIECE, UNREPLICATED_MS)).toEqual([0]);
  });

  it('agrees with a plain account of who holds what, whoever comes, tells, asks and goes', () => {
    const step = fc.record({
      kind: fc.constantFrom<Step['kind'][]>('join', 'join', 'leave', 'has', 'grant', 'want'),
      peer: fc.constantFrom('a', 'b', 'c'),
      index: fc.nat({ max: 3 }),
      after: fc.constantFrom(0, 10, UNREPLICATED_MS),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const model = new DistributionModel(4);
        let now = 10_000;
        for (const { after, ...next } of steps) expect(model.agrees(next, (now += after))).toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});

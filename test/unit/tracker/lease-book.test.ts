import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LeaseBook } from '#tracker/lease-book.ts';

function book(options: Partial<ConstructorParameters<typeof LeaseBook>[1]> = {}) {
  const clock = { now: 0 };
  const leases = new LeaseBook(
    { now: () => clock.now },
    { perBlob: 2, ttlMs: 10_000, maxLeases: 100, ...options },
  );
  return { clock, leases };
}

function ask(peerId: string, digest = 'd', scope = 'registry.test') {
  return { peerId, digest, scope };
}

describe('leases to read from upstream', () => {
  it('are refused with how many wait for one, until they get it or do not ask again', () => {
    const { clock, leases } = book({ perBlob: 1 });
    leases.take(ask('a'));
    expect(['b', 'c', 'b', 'd'].map((peer) => leases.take(ask(peer)).waiting)).toEqual([1, 2, 2, 3]);
    leases.take(ask('a', 'e'));
    expect(leases.take(ask('b', 'e')).waiting).toBe(1);
    leases.release(ask('a'));
    expect(leases.take(ask('c')).granted).toBe(true);
    expect(leases.take(ask('b')).waiting).toBe(2);
    clock.now = 5_900;
    leases.take(ask('c'));
    leases.take(ask('b'));
    clock.now = 6_000;
    expect(leases.take(ask('b')).waiting).toBe(1);
  });

  it('are refused to any number of members, of which so many are counted', () => {
    const { leases } = book({ perBlob: 1, maxLeases: 3 });
    leases.take(ask('a'));
    const answers = ['b', 'c', 'd', 'e', 'f'].map((peer) => leases.take(ask(peer)));
    expect(answers.map(({ waiting }) => waiting)).toEqual([1, 2, 3, 3, 3]);
  });

  it('go to two at a time; a third is told when to ask again', () => {
    const { clock, leases } = book();
    expect(leases.take(ask('a'))).toEqual({ granted: true, ttlMs: 10_000, retryAfterMs: 0 });
    clock.now = 9000;
    expect(leases.take(ask('b')).granted).toBe(true);
    expect(leases.take(ask('c'))).toEqual({ granted: false, ttlMs: 0, retryAfterMs: 1000, waiting: 1 });
    expect(leases.take(ask('c', 'd', 'other.test')).granted).toBe(true);
    clock.now = 10_000;
    expect(leases.take(ask('c')).granted).toBe(true);
    expect(leases.take(ask('d'))).toEqual({ granted: false, ttlMs: 0, retryAfterMs: 3000, waiting: 1 });
  });

  it('are renewed by asking again and come free when given back or when their holder goes', () => {
    const { clock, leases } = book({ perBlob: 1 });
    leases.take(ask('a'));
    clock.now = 9999;
    expect(leases.take(ask('a')).granted).toBe(true);
    clock.now = 19_000;
    expect(leases.take(ask('b')).granted).toBe(false);
    leases.release(ask('b'));
    expect(leases.take(ask('b')).granted).toBe(false);
    leases.release(ask('a'));
    expect(leases.take(ask('b')).granted).toBe(true);
    leases.take(ask('b', 'e'));
    leases.releaseAll('b');
    expect(leases.size).toBe(0);
  });

  it('are bounded in all, and never more than allowed whatever is asked', () => {
    const step = fc.record({
      peer: fc.nat(6).map(String),
      digest: fc.nat(4).map(String),
      ms: fc.nat(4000),
      action: fc.constantFrom('take', 'take', 'take', 'release', 'gone'),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const { clock, leases } = book({ maxLeases: 5 });
        const held = new Map<string, { until: number; peer: string; digest: string }>();
        for (const { peer, digest, ms, action } of steps) {
          let agrees = true;
          clock.now += ms;
          for (const [key, { until }] of held) if (until <= clock.now) held.delete(key);
          const key = `${peer} ${digest}`;
          if (action === 'release') {
            leases.release(ask(peer, digest));
            held.delete(key);
          } else if (action === 'gone') {
            leases.releaseAll(peer);
            for (const [each, lease] of held) if (lease.peer === peer) held.delete(each);
          } else {
            const others = [...held.values()].filter((lease) => lease.digest === digest).length;
            const free = held.has(key) || (others < 2 && held.size < 5);
            const answer = leases.take(ask(peer, digest));
            agrees &&= answer.granted === free && (free || answer.retryAfterMs >= 100);
            if (free) held.set(key, { until: clock.now + 10_000, peer, digest });
          }
          expect(agrees).toBe(true);
          leases.sweep(Infinity);
          expect(leases.size).toBe(held.size);
        }
      }),
    );
  });
});

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  MAX_ORIGINS_PER_ANSWER,
  NOWHERE,
  ORIGIN_FANOUT,
  placeOf,
  SwarmIndex,
  ZONE_FANOUT,
} from '#swarm/core/handout.ts';
import type { Member, Role, Topology } from '#swarm/core/handout.ts';

interface Peer extends Member {
  readonly topology: Topology;
}

function peer(id: string, topology: Topology = {}, role: Role = 'agent'): Peer {
  return { id, role, topology, place: placeOf(topology) };
}

/** Mulberry32, so that a failure can be had again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `count` agents, ten to a rack, ten racks to a zone, half of them complete. */
function cluster(count: number): SwarmIndex<Peer> {
  const index = new SwarmIndex<Peer>();
  for (let at = 0; at < count; at++) {
    const [rack, zone] = [Math.floor(at / 10) % 10, Math.floor(at / 100)];
    const topology = { node: `n${at}`, rack: `r${rack}`, zone: `z${zone}`, region: `g${zone % 2}` };
    index.set(peer(`p${at}`, topology), at % 2 === 0);
  }
  return index;
}

const asker = (of: Peer, complete = false) => ({ ...of, complete });
const at = (index: SwarmIndex<Peer>, id: string) => asker(index.get(id)!.member);

/** How many are named, and how many of them are complete. */
function countNamed(want: number, members: SwarmIndex<Peer>) {
  const named = members.handOut({ asker: asker(peer('x')), want, random: seeded(3) });
  return [named.length, named.filter(({ complete }) => complete).length];
}

/** How many agents of a swarm of that size are told of its one origin. */
function countTold(agents: number) {
  const index = cluster(agents);
  index.set(peer('origin', {}, 'origin'), true);
  const random = seeded(5);
  let count = 0;
  for (let n = 0; n < agents; n++) {
    const named = index.handOut({ asker: at(index, `p${n}`), want: 30, random });
    if (named.some(({ member }) => member.role === 'origin')) count++;
  }
  return count;
}

/** How often chance is asked for one answer. */
function countDraws(size: number) {
  const index = cluster(size);
  let count = 0;
  const random = seeded(8);
  index.handOut({
    asker: { ...at(index, 'p55'), place: NOWHERE },
    want: 50,
    random: () => (count++, random()),
  });
  return count;
}

describe('whom a tracker names', () => {
  it('few of other zones, and nobody too few, where crossing has a price', () => {
    const index = cluster(300);
    const named = (id: string, maxCrossZone?: number) => {
      const peers = index.handOut({
        asker: at(index, id),
        want: 50,
        random: seeded(4),
        ...(maxCrossZone !== undefined && { maxCrossZone }),
      });
      const crossing = peers.filter(({ member }) => member.place[2] !== index.get(id)!.member.place[2]);
      return { all: peers.length, crossing: crossing.length };
    };
    expect(named('p55').crossing).toBeGreaterThan(4);
    for (const limit of [0, 2, 4]) {
      const { all, crossing } = named('p55', limit);
      expect(all).toBe(50);
      expect(crossing).toBeLessThanOrEqual(limit);
    }
    // Alone in its zone, it gets what there is.
    index.set(peer('alone', { node: 'x', zone: 'lonely' }), false);
    expect(named('alone', 2)).toEqual({ all: 50, crossing: 50 });
  });

  it('others of other zones to a bounded number of agents in a large zone', () => {
    const index = cluster(300);
    const random = seeded(6);
    const told = (id: string): boolean => {
      const own = at(index, id);
      const peers = index.handOut({ asker: own, want: 30, random, maxCrossZone: 4 });
      return peers.some(({ member }) => member.place[2] !== own.place[2]);
    };
    const ids = Array.from({ length: 300 }, (_, n) => `p${n}`);
    const perZone = ids.filter(told).length / 3;
    expect(perZone).toBeGreaterThan(ZONE_FANOUT / 2);
    expect(perZone).toBeLessThan(ZONE_FANOUT * 2);
  });

  it('never more than asked, never the asker, nobody twice, nobody who left', () => {
    const name = fc.constantFrom('a', 'b', undefined);
    const step = fc.record({
      id: fc.nat(30).map((n) => `p${n}`),
      action: fc.constantFrom('set', 'delete', 'complete', 'incomplete'),
      complete: fc.boolean(),
      role: fc.constantFrom<Role>('agent', 'agent', 'agent', 'origin'),
      topology: fc.record({ node: name, rack: name, zone: name, region: name }),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 120 }),
        fc.nat(40),
        fc.nat(30),
        fc.nat(),
        (steps, want, who, seed) => {
          const index = new SwarmIndex<Peer>();
          let agrees = true;
          const model = new Map<string, { role: Role; complete: boolean }>();
          for (const { id, action, complete, role, topology } of steps) {
            if (action === 'set') {
              index.set(peer(id, topology, role), complete);
              model.set(id, { role, complete });
            } else if (action === 'delete') agrees &&= index.delete(id) === model.delete(id);
            else {
              const known = model.get(id);
              agrees &&= index.setComplete(id, action === 'complete') === (known !== undefined);
              if (known !== undefined) known.complete = action === 'complete';
            }
          }
          expect(agrees).toBe(true);
          const complete = [...model.values()].filter((seat) => seat.complete).length;
          expect([index.size, index.complete, index.incomplete]).toEqual([
            model.size,
            complete,
            model.size - complete,
          ]);

          const self = index.get(`p${who}`)?.member ?? peer(`p${who}`);
          const named = index.handOut({ asker: asker(self), want, random: seeded(seed) });
          const ids = named.map(({ member }) => member.id);
          expect(new Set(ids).size).toBe(ids.length);
          expect(ids).not.toContain(self.id);
          for (const seat of named) expect(model.get(seat.member.id)?.complete).toBe(seat.complete);
          const origins = named.filter(({ member }) => member.role === 'origin').length;
          expect(origins).toBeLessThanOrEqual(MAX_ORIGINS_PER_ANSWER);
          const agents = [...model].filter(([id, { role }]) => role === 'agent' && id !== self.id).length;
          expect(ids.length).toBeLessThanOrEqual(want);
          expect(ids.length - origins).toBeGreaterThanOrEqual(Math.min(agents, want - origins));
        },
      ),
    );
  });

  it('the same rack first, and a few far ones always', () => {
    const index = cluster(1000);
    const self = at(index, 'p555');
    const named = index.handOut({ asker: self, want: 12, random: seeded(1) }).map(({ member }) => member);
    const sameRack = named.filter(({ place }) => place[1] === self.place[1]);
    expect(sameRack).toHaveLength(9);
    expect(named).toHaveLength(12);
  });

  it('the same zone when the rack has too few, the same region before others', () => {
    const index = cluster(1000);
    const self = at(index, 'p555');
    const named = index.handOut({ asker: self, want: 80, random: seeded(2) }).map(({ member }) => member);
    expect(named.filter(({ place }) => place[1] === self.place[1]).length).toBeGreaterThanOrEqual(9);
    expect(named.filter(({ place }) => place[2] === self.place[2]).length).toBeGreaterThanOrEqual(60);
    expect(named.filter(({ place }) => place[2] !== self.place[2]).length).toBeGreaterThan(5);
  });

  it('a rack of the same name in another zone is another rack', () => {
    const index = new SwarmIndex<Peer>();
    for (let n = 0; n < 50; n++) index.set(peer(`far${n}`, { rack: 'r1', zone: 'z2' }), false);
    index.set(peer('near', { rack: 'r1', zone: 'z1' }), false);
    for (let seed = 0; seed < 20; seed++) {
      const self = asker(peer('self', { rack: 'r1', zone: 'z1' }));
      const named = index.handOut({ asker: self, want: 4, random: seeded(seed) });
      expect(named.map(({ member }) => member.id)).toContain('near');
    }
  });

  it('complete and incomplete ones in about equal parts, and either alone if there is no other', () => {
    const index = cluster(1000);
    const [all, complete] = countNamed(40, index);
    expect(all).toBe(40);
    expect(complete).toBeGreaterThanOrEqual(14);
    expect(complete).toBeLessThanOrEqual(26);
    for (let n = 0; n < 1000; n++) index.setComplete(`p${n}`, true);
    expect(countNamed(40, index)).toEqual([40, 40]);
    for (let n = 0; n < 1000; n++) index.setComplete(`p${n}`, false);
    expect(countNamed(40, index)).toEqual([40, 0]);
  });

  it('only who still lacks something to who has it all; only complete ones where told so', () => {
    const index = cluster(200);
    index.set(peer('seed', {}, 'origin'), true);
    const random = seeded(4);
    const forSeed = index.handOut({ asker: { ...at(index, 'p0'), complete: true }, want: 50, random });
    expect(forSeed).toHaveLength(50);
    expect(forSeed.every(({ complete }) => !complete)).toBe(true);
    const completeOnly = index.handOut({ asker: at(index, 'p1'), want: 50, completeOnly: true, random });
    expect(completeOnly).toHaveLength(50);
    expect(completeOnly.every(({ complete }) => complete)).toBe(true);
  });

  it('the origin to everyone in a small swarm, to a bounded number in a large one', () => {
    expect(countTold(20)).toBe(20);
    expect(countTold(2600)).toBeLessThan(2 * ORIGIN_FANOUT);
    expect(countTold(2600)).toBeGreaterThan(ORIGIN_FANOUT / 2);
  });

  it('the origin to who would else be told of nobody', () => {
    const index = new SwarmIndex<Peer>();
    index.set(peer('self'), false);
    index.set(peer('origin', {}, 'origin'), true);
    const named = index.handOut({ asker: at(index, 'self'), want: 1, random: seeded(6) });
    expect(named.map(({ member }) => member.id)).toEqual(['origin']);
  });

  it('every member about as often as any other', () => {
    const index = new SwarmIndex<Peer>();
    for (let n = 0; n < 100; n++) index.set(peer(`p${n}`), n < 30);
    const times = new Map<string, number>();
    const random = seeded(7);
    for (let n = 0; n < 4000; n++) {
      for (const { member } of index.handOut({ asker: { ...peer('x'), complete: true }, want: 7, random })) {
        times.set(member.id, (times.get(member.id) ?? 0) + 1);
      }
    }
    expect(times.size).toBe(70);
    for (const count of times.values()) expect(Math.abs(count - 400)).toBeLessThan(5 * Math.sqrt(400));
  });

  it('after draws that depend on what was asked, not on the size of the swarm', () => {
    expect(countDraws(10_000)).toBeLessThan(500);
    expect(Math.abs(countDraws(10_000) - countDraws(1000))).toBeLessThan(100);
  });
});

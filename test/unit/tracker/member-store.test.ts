import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { NOWHERE } from '#swarm/core/handout.ts';
import { MemberStore, MembersFullError } from '#tracker/member-store.ts';
import type { MemberStoreLimits } from '#tracker/member-store.ts';
import { SwarmTable } from '#tracker/swarm-table.ts';
import type { ShoalMember } from '#tracker/swarm-table.ts';

const TIMEOUT = 1000;
const LIMITS = { maxMembers: 4, maxSwarms: 5, maxMemberships: 12, maxSwarmsPerMember: 4 };

function member(id: string, role: ShoalMember['role'] = 'agent'): ShoalMember {
  return { id, role, place: NOWHERE, host: `${id}.test`, ip: '192.0.2.1', port: 1 };
}

function store(limits: MemberStoreLimits = LIMITS) {
  const clock = { now: 0 };
  const gone: string[] = [];
  const table = new SwarmTable({ onAliasGone: ({ infoHash }) => gone.push(infoHash) });
  const members = new MemberStore(
    { table, now: () => clock.now, random: Math.random },
    { limits, timeoutMs: TIMEOUT },
  );
  return { clock, table, members, gone };
}

/** What the store should be, said as plainly as possible. */
class Model {
  readonly members = new Map<string, { seenAt: number; swarms: Map<string, boolean> }>();

  memberships(): number {
    return [...this.members.values()].reduce((sum, { swarms }) => sum + swarms.size, 0);
  }

  inSwarm(swarm: string): string[] {
    return [...this.members].filter(([, { swarms }]) => swarms.has(swarm)).map(([id]) => id);
  }

  swarms(): Set<string> {
    return new Set(this.members.values().flatMap(({ swarms }) => swarms.keys()));
  }
}

const peerName = fc.nat(5).map((n) => `p${n}`);
const swarmName = fc.nat(6).map((n) => `s${n}`);
const anyStep = fc.oneof(
  fc.record({ kind: fc.constant('start' as const), peer: peerName }),
  fc.record({ kind: fc.constant('touch' as const), peer: peerName }),
  fc.record({ kind: fc.constant('join' as const), peer: peerName, swarm: swarmName, complete: fc.boolean() }),
  fc.record({ kind: fc.constant('join' as const), peer: peerName, swarm: swarmName, complete: fc.boolean() }),
  fc.record({
    kind: fc.constant('update' as const),
    peer: peerName,
    swarm: swarmName,
    complete: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('leave' as const), peer: peerName, swarm: swarmName }),
  fc.record({ kind: fc.constant('end' as const), peer: peerName }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(700) }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer S> ? S : never;

/** Does the step to both; false where the store did not answer as the model would. */
function apply(step: Step, { clock, members }: ReturnType<typeof store>, model: Model): boolean {
  if (step.kind === 'pass') {
    clock.now += step.ms;
    members.sweep(Infinity);
    for (const [id, { seenAt }] of model.members) if (clock.now - seenAt >= TIMEOUT) model.members.delete(id);
    return true;
  }
  const known = model.members.get(step.peer);
  if (step.kind === 'start') {
    model.members.delete(step.peer);
    const room = model.members.size < LIMITS.maxMembers;
    if (room) model.members.set(step.peer, { seenAt: clock.now, swarms: new Map() });
    try {
      members.start(member(step.peer), 'session');
      return room;
    } catch (error) {
      return !room && error instanceof MembersFullError;
    }
  } else if (step.kind === 'touch') {
    if (known !== undefined) known.seenAt = clock.now;
    if (members.touch(step.peer, 'other') !== undefined) return false;
    return (members.touch(step.peer, 'session') === undefined) === (known === undefined);
  } else if (step.kind === 'join') {
    const refusal = members.join(step.peer, step.swarm, step);
    const isNew = known !== undefined && !known.swarms.has(step.swarm);
    const full =
      isNew &&
      (known.swarms.size >= LIMITS.maxSwarmsPerMember ||
        model.memberships() >= LIMITS.maxMemberships ||
        (!model.swarms().has(step.swarm) && model.swarms().size >= LIMITS.maxSwarms));
    if (!full) known?.swarms.set(step.swarm, step.complete);
    return (refusal !== undefined) === full;
  } else if (step.kind === 'update') {
    members.setComplete(step.peer, step.swarm, step.complete);
    if (known?.swarms.has(step.swarm) === true) known.swarms.set(step.swarm, step.complete);
  } else if (step.kind === 'leave') {
    members.leave(step.peer, step.swarm);
    known?.swarms.delete(step.swarm);
  } else {
    members.end(step.peer);
    model.members.delete(step.peer);
  }
  return true;
}

describe('the tracker’s members', () => {
  it('are those of a plain model of them, whatever they do', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 80 }), (steps) => {
        const real = store();
        const model = new Model();
        for (const each of steps) {
          expect(apply(each, real, model)).toBe(true);
          expect(real.members.members).toBe(model.members.size);
          expect(real.members.memberships).toBe(model.memberships());
          expect(real.table.size).toBe(model.swarms().size);
        }
        for (const [id, { swarms }] of model.members) {
          for (const [swarm, complete] of swarms) {
            const found = real.members.handOut(id, swarm, 50, false)!;
            const others = model.inSwarm(swarm).filter((other) => other !== id);
            expect(found.complete + found.incomplete).toBe(others.length);
            const useful = others.filter(
              (other) => !complete || model.members.get(other)!.swarms.get(swarm) === false,
            );
            expect(found.peers.map((peer) => peer.id).toSorted()).toEqual(useful.toSorted());
            const copies = others.filter((other) => model.members.get(other)!.swarms.get(swarm)).length;
            expect(real.members.replicas(swarm, id)).toBe(copies);
          }
        }
      }),
    );
  });

  it('are forgotten a bounded number at a time, the longest silent first', () => {
    const { clock, members } = store({ ...LIMITS, maxMembers: 10, maxMemberships: 100 });
    for (let n = 0; n < 5; n++) {
      clock.now = n;
      members.start(member(`p${n}`), 's');
      for (let swarm = 0; swarm < 3; swarm++) members.join(`p${n}`, `s${swarm}`, { complete: false });
    }
    clock.now = 900;
    members.touch('p0', 's');
    clock.now = TIMEOUT + 500;
    expect(members.sweep(8)).toEqual(['p1', 'p2']);
    expect(members.sweep(1)).toEqual(['p3']);
    expect(members.sweep(100)).toEqual(['p4']);
    expect(members.sweep(100)).toEqual([]);
    expect([members.members, members.memberships]).toEqual([1, 3]);
  });

  it('say which bound was reached', () => {
    const { members } = store({ maxMembers: 2, maxSwarms: 3, maxMemberships: 4, maxSwarmsPerMember: 2 });
    members.start(member('a'), 's');
    members.start(member('b'), 's');
    const join = (id: string, swarm: string) => members.join(id, swarm, { complete: true });
    expect([join('a', '1'), join('a', '2')]).toEqual([undefined, undefined]);
    expect(join('a', '3')).toBe('too many swarms of one member');
    expect([join('b', '3'), join('b', '4')]).toEqual([undefined, 'too many swarms']);
    expect(() => members.start(member('c'), 's')).toThrow('already knows 2 members');
  });

  it('are told of an info-hash again until they have had the answer', () => {
    const { members } = store();
    members.start(member('origin', 'origin'), 's');
    members.start(member('agent'), 's');
    members.join('agent', 'v', { complete: true, digest: 'd' });
    members.join('origin', 'v', { complete: true, digest: 'd' });
    members.addAlias('origin', { swarm: 'v', infoHash: 'h', digest: 'd' });
    members.addAlias('origin', { swarm: 'v', infoHash: 'h', digest: 'd' });
    expect([members.news('agent', 5), members.news('agent', 5)]).toEqual([['v'], ['v']]);
    members.advance('agent', 0);
    expect(members.news('agent', 5)).toEqual(['v']);
    members.addAlias('origin', { swarm: 'v', infoHash: 'i', digest: 'd' });
    members.advance('agent', 1);
    expect(members.news('agent', 5)).toEqual(['v']);
    members.advance('agent', 2);
    expect(members.news('agent', 5)).toEqual([]);
    members.start(member('late'), 's');
    members.join('late', 'v', { complete: false, digest: 'd' });
    expect(members.news('late', 5)).toEqual(['v']);
    members.leave('late', 'v');
    expect(members.news('late', 5)).toEqual([]);
  });

  it('learn the info-hash that an origin registered, and lose it with the blob’s last swarm', () => {
    const { members, table, gone } = store();
    members.start(member('origin', 'origin'), 's');
    members.start(member('agent'), 's');
    const alias = { swarm: 'v', infoHash: 'h', digest: 'd' };
    expect(members.addAlias('origin', alias)).toBe(false);
    members.join('origin', 'v', { complete: true, digest: 'd' });
    members.join('agent', 'live', { complete: false, digest: 'd' });
    expect(members.addAlias('agent', alias)).toBe(false);
    expect(members.addAlias('origin', { ...alias, digest: 'other' })).toBe(false);
    expect(members.addAlias('origin', alias)).toBe(true);
    expect(members.handOut('agent', 'live', 5, true)!.aliases).toEqual([{ infoHash: 'h', peers: [] }]);
    expect(members.handOut('agent', 'live', 5, false)!.aliases).toEqual([]);
    members.end('origin');
    expect(table.alias('h')).toBeDefined();
    members.end('agent');
    expect([table.alias('h'), gone]).toEqual([undefined, ['h']]);
  });
});

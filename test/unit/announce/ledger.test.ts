import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Ledger } from '#swarm/announce/ledger.ts';
import type { Delta } from '#swarm/announce/ledger.ts';
import { MAX_PEERS_PER_MESSAGE, MAX_SWARMS_PER_MESSAGE } from '#swarm/announce/messages.ts';

/** A tracker as plain as can be: which swarms, complete or not, with which info-hash. */
class Told {
  readonly swarms = new Map<string, { complete: boolean; infoHash: string | undefined }>();
  readonly asked = new Map<string, number>();

  apply(delta: Delta): void {
    for (const swarm of delta.leave) this.swarms.delete(swarm);
    for (const { swarm, complete } of delta.update) this.swarms.get(swarm)!.complete = complete;
    for (const { swarm, complete, want } of delta.join) {
      this.swarms.set(swarm, { complete, infoHash: this.swarms.get(swarm)?.infoHash });
      if (want > 0) this.asked.set(swarm, want);
    }
    for (const { swarm, infoHash } of delta.alias) this.swarms.get(swarm)!.infoHash = infoHash;
    for (const { swarm, want } of delta.more) this.asked.set(swarm, want);
  }
}

const swarm = fc.nat(6).map(String);
const step = fc.oneof(
  fc.record({ kind: fc.constant('join' as const), swarm, complete: fc.boolean(), want: fc.nat(9) }),
  fc.record({ kind: fc.constant('update' as const), swarm, complete: fc.boolean() }),
  fc.record({ kind: fc.constant('leave' as const), swarm }),
  fc.record({ kind: fc.constant('ask' as const), swarm }),
  fc.record({
    kind: fc.constant('exchange' as const),
    fate: fc.constantFrom('answered', 'answered', 'lost', 'answer lost', 'tracker restarted'),
    meanwhile: fc.option(swarm, { nil: undefined }),
  }),
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const JOIN: Step = { kind: 'join', swarm: '1', complete: false, want: 0 };
/** The tracker may have heard of a leave although its answer was lost. */
const LEAVE_LOST_THEN_JOINED: Step[] = [
  JOIN,
  { kind: 'exchange', fate: 'answered', meanwhile: '1' },
  { kind: 'exchange', fate: 'answer lost', meanwhile: undefined },
  JOIN,
];

describe('what a tracker is told', () => {
  it('comes to what is wished, whatever is lost on the way', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ledger = new Ledger();
        const wishes = new Map<string, boolean>();
        let told = new Told();
        const leave = (id: string): void => {
          ledger.leave(id);
          wishes.delete(id);
        };
        for (const each of steps) {
          if (each.kind === 'join') {
            if (wishes.has(each.swarm)) continue;
            ledger.join(each.swarm, each);
            ledger.setAlias(each.swarm, { infoHash: `hash of ${each.swarm}`, digest: 'd' });
            wishes.set(each.swarm, each.complete);
          } else if (each.kind === 'update') {
            ledger.setComplete(each.swarm, each.complete);
            if (wishes.has(each.swarm)) wishes.set(each.swarm, each.complete);
          } else if (each.kind === 'ask') ledger.ask(each.swarm, 5);
          else if (each.kind === 'leave') leave(each.swarm);
          else if (each.kind === 'exchange') {
            if (each.fate === 'tracker restarted') {
              told = new Told();
              ledger.restart();
            }
            const delta = ledger.take();
            if (each.meanwhile !== undefined) leave(each.meanwhile);
            if (each.fate !== 'lost') told.apply(delta);
            if (each.fate.endsWith('lost')) ledger.revert(delta);
            else ledger.confirm(delta, []);
          }
        }
        for (let left = 3; ledger.pending; left--) {
          expect(left).toBeGreaterThan(0);
          const delta = ledger.take();
          told.apply(delta);
          ledger.confirm(delta, []);
        }
        expect(told.swarms).toEqual(
          new Map([...wishes].map(([id, complete]) => [id, { complete, infoHash: `hash of ${id}` }])),
        );
      }),
      { numRuns: 500, examples: [[LEAVE_LOST_THEN_JOINED]] },
    );
  });

  it('is nothing when nothing changed, and goes in several messages when much did', () => {
    const ledger = new Ledger();
    for (let n = 0; n < MAX_SWARMS_PER_MESSAGE + 10; n++) ledger.join(String(n), { complete: true, want: 0 });
    const first = ledger.take();
    expect(first.join).toHaveLength(MAX_SWARMS_PER_MESSAGE);
    ledger.confirm(first, []);
    const second = ledger.take();
    expect(second.join).toHaveLength(10);
    ledger.confirm(second, []);
    expect(ledger.pending).toBe(false);
    for (let n = 0; n < 100; n++) ledger.ask(String(n), 200);
    const asks = ledger.take().more;
    expect(asks.length * 200).toBeLessThanOrEqual(MAX_PEERS_PER_MESSAGE);
    expect(ledger.pending).toBe(true);
  });

  it('is told again when the tracker had no room', () => {
    const ledger = new Ledger();
    ledger.join('a', { complete: false, want: 7 });
    ledger.confirm(ledger.take(), ['a']);
    expect(ledger.pending).toBe(false);
    ledger.retryRefused();
    expect(ledger.take().join).toEqual([{ swarm: 'a', complete: false, want: 7 }]);
  });
});

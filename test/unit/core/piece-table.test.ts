import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { UNIT_LENGTH } from '#swarm/core/piece-length.ts';
import { ARRIVED, type Block, PieceTable } from '#swarm/core/piece-table.ts';

const PIECE = 256 * 1024;
/** Two whole pieces and one of 5 units, the last of them short. */
const SIZE = 2 * PIECE + 4 * UNIT_LENGTH + 100;
const UNITS = [16, 16, 5];

type Step = { kind: 'request' | 'abandon' | 'arrive' | 'drop' | 'hold'; block: Block };

const block = fc
  .record({ index: fc.nat({ max: 2 }), first: fc.nat({ max: 15 }), units: fc.integer({ min: 1, max: 8 }) })
  .map(({ index, first, units }) => {
    const table = new PieceTable(SIZE);
    const from = Math.min(first, UNITS[index]! - 1);
    const offset = from * UNIT_LENGTH;
    return { index, offset, length: Math.min(units * UNIT_LENGTH, table.sizeOf(index) - offset) };
  });
const steps = fc.array(
  fc.record({
    kind: fc.constantFrom<Step['kind'][]>(
      'request',
      'request',
      'abandon',
      'arrive',
      'arrive',
      'drop',
      'hold',
    ),
    block,
  }),
  { maxLength: 120 },
);

function unitsOf({ offset, length }: Block): number[] {
  const first = offset / UNIT_LENGTH;
  return Array.from({ length: Math.ceil(length / UNIT_LENGTH) }, (_, at) => first + at);
}

/** Does what a session does: a piece is taken up before it is asked for, and held or dropped when it is whole. */
function apply(table: PieceTable, { kind, block: at }: Step): void {
  if (kind === 'request' && !table.held.has(at.index)) {
    if (!table.active.has(at.index)) table.activate(at.index);
    table.requested(at);
  } else if (kind === 'abandon') table.abandoned(at);
  else if (kind === 'arrive' && table.arrived(at)) table.hold(at.index);
  else if (kind === 'drop') table.drop(at.index);
  else if (kind === 'hold') table.hold(at.index);
}

describe('the piece table', () => {
  it('keeps its counts right whatever is asked for, comes to nothing, arrives or is dropped, in any order', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const table = new PieceTable(SIZE);
        for (const step of all) {
          apply(table, step);
          for (const [index, piece] of table.active) {
            const units = [...piece.units];
            expect(table.held.has(index)).toBe(false);
            expect(piece.free).toBe(units.filter((unit) => unit === 0).length);
            expect(piece.arrived).toBe(units.filter((unit) => unit === ARRIVED).length);
            expect(piece.arrived).toBeLessThan(units.length);
          }
          expect(table.open).toEqual([...table.active.values()].filter(({ free }) => free > 0));
        }
      }),
    );
  });

  it('counts the requests for each unit that are open, as long as nothing is given up that was not asked for', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(block, fc.boolean()), { maxLength: 60 }), (all) => {
        const table = new PieceTable(SIZE);
        const open: Block[] = [];
        for (const [asked, give] of all) {
          const given = give ? open.shift() : undefined;
          if (given) table.abandoned(given);
          else {
            if (!table.active.has(asked.index)) table.activate(asked.index);
            table.requested(asked);
            open.push(asked);
          }
          for (let index = 0; index < 3; index++) {
            const expected = Array.from(
              { length: UNITS[index]! },
              (_, unit) => open.filter((one) => one.index === index && unitsOf(one).includes(unit)).length,
            );
            const wanted = expected.some((requests) => requests > 0);
            expect(table.active.has(index)).toBe(wanted);
            expect([...(table.active.get(index)?.units ?? expected)]).toEqual(expected);
          }
        }
      }),
    );
  });

  it('is told once when a piece is whole, though two peers were asked for the same blocks', () => {
    const table = new PieceTable(SIZE);
    const half = { index: 0, offset: 0, length: PIECE / 2 };
    const other = { index: 0, offset: PIECE / 2, length: PIECE / 2 };
    table.activate(0);
    for (const asked of [half, half, other]) table.requested(asked);
    expect(table.arrived(half)).toBe(false);
    expect(table.hasArrived(half)).toBe(true);
    table.abandoned(half);
    expect(table.active.get(0)).toMatchObject({ free: 0, arrived: 8 });
    expect(table.arrived(half)).toBe(false);
    expect(table.arrived(other)).toBe(true);
  });

  it('takes no harm from a request that was made before the piece was dropped and begun anew', () => {
    const table = new PieceTable(SIZE);
    const whole = { index: 0, offset: 0, length: PIECE };
    table.activate(0);
    table.requested(whole);
    table.drop(0);
    table.activate(0);
    table.requested({ index: 0, offset: 0, length: UNIT_LENGTH });
    table.abandoned(whole);
    expect([...table.active.keys()]).toEqual([]);
    table.abandoned(whole);
    expect(table.arrived(whole)).toBe(false);
  });

  it('counts no request twice over, however many peers are asked', () => {
    const table = new PieceTable(SIZE);
    const unit = { index: 0, offset: 0, length: UNIT_LENGTH };
    table.activate(0);
    for (let peer = 0; peer < 300; peer++) table.requested(unit);
    expect(table.hasArrived(unit)).toBe(false);
    for (let peer = 0; peer < 300; peer++) table.abandoned(unit);
    expect(table.active.size).toBe(0);
  });

  it('ignores what a hostile peer names beyond the piece', () => {
    const table = new PieceTable(SIZE);
    table.activate(2);
    table.abandoned({ index: 2, offset: 0, length: 2 ** 32 - 1 });
    table.abandoned({ index: 77, offset: 0, length: UNIT_LENGTH });
    expect(table.active.size).toBe(0);
    for (const outside of [
      { index: 3, offset: 0, length: 1 },
      { index: 2, offset: 0, length: 4 * UNIT_LENGTH + 101 },
      { index: 0, offset: PIECE, length: 1 },
      { index: 0, offset: 0, length: 0 },
      { index: 2 ** 32 - 1, offset: 2 ** 32 - 1, length: 2 ** 32 - 1 },
    ])
      expect(table.valid(outside)).toBe(false);
    expect(table.valid({ index: 2, offset: 4 * UNIT_LENGTH, length: 100 })).toBe(true);
  });

  it('knows how many peers have each piece while they come, take back and go', () => {
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.nat({ max: 2 })), { maxLength: 6 }), (peers) => {
        const table = new PieceTable(SIZE);
        const fields = peers.map((pieces) => {
          const field = new Bitfield(3);
          for (const index of pieces) if (field.add(index)) table.peerHas(index);
          return field;
        });
        const copies = (): number[] =>
          [0, 1, 2].map((index) => fields.filter((one) => one.has(index)).length);
        expect([...table.availability]).toEqual(copies());
        const first = fields[0];
        if (first?.remove(1)) table.peerLacks(1);
        expect([...table.availability]).toEqual(copies());
        for (const field of fields.splice(0)) table.peerGone(field);
        expect([...table.availability]).toEqual([0, 0, 0]);
        table.peerLacks(0);
        expect(table.availability[0]).toBe(0);
      }),
    );
  });

  it('is complete when each piece is held, and not any more when one is dropped', () => {
    const table = new PieceTable(SIZE);
    expect([0, 1, 2].map((index) => table.hold(index))).toEqual([true, true, true]);
    expect(table.hold(1)).toBe(false);
    expect(table.complete).toBe(true);
    table.drop(1);
    expect(table.complete).toBe(false);
    expect(new PieceTable(0).complete).toBe(true);
  });
});

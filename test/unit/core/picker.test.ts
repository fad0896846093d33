import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { MAX_PIECE_LENGTH, UNIT_LENGTH } from '#swarm/core/piece-length.ts';
import { type Block, PieceTable } from '#swarm/core/piece-table.ts';
import {
  ENDGAME_COPIES,
  firstOfEquals,
  pickBlock,
  type PickOptions,
  pickRescue,
  pickTail,
  TAIL_SECONDS,
  TAIL_PIECES,
  TAIL_SHARE,
  UNSTORED_WINDOW_PIECES,
  WINDOW_PIECES,
} from '#swarm/core/picker.ts';
import { seededRandom } from './random.ts';

const PIECE = 256 * 1024;
const PIECES = 8;
const SIZE = PIECES * PIECE - 1000;

/** A peer that remembers what it was asked for. */
class Asked {
  readonly pieces = new Bitfield(PIECES);
  readonly blockLength: number;
  readonly blocks: Block[] = [];

  constructor(pieces: Iterable<number>, blockLength = 128 * 1024) {
    for (const index of pieces) this.pieces.add(index);
    this.blockLength = blockLength;
  }

  asked(index: number, offset: number): boolean {
    return this.blocks.some(
      (block) => block.index === index && offset >= block.offset && offset < block.offset + block.length,
    );
  }

  ask(table: PieceTable, options: Partial<PickOptions> = {}): Block | undefined {
    const block = pickBlock(table, this, { cursors: [], windowOnly: false, random: () => 0.5, ...options });
    if (!block) return undefined;
    table.requested(block);
    this.blocks.push(block);
    return block;
  }
}

const ALL = Array.from({ length: PIECES }, (_, index) => index);
const pieces = fc.uniqueArray(fc.nat({ max: PIECES - 1 }));

function tableWith(peers: Asked[], held: Iterable<number> = []): PieceTable {
  const table = new PieceTable(SIZE);
  for (const peer of peers) for (const index of peer.pieces) table.peerHas(index);
  for (const index of held) table.hold(index);
  return table;
}

function inWindow(cursors: number[], index: number): boolean {
  return cursors.some((at) => index >= at && index < at + UNSTORED_WINDOW_PIECES);
}

const onlyThird = (index: number): boolean => index === 3;

function askForAllOfThird(peer: Asked, table: PieceTable): void {
  while (peer.ask(table, { accepts: onlyThird }));
}

describe('the picker', () => {
  it('asks a peer only for what it has and is missing, in blocks on the grid within one piece, each unit once', () => {
    fc.assert(
      fc.property(
        pieces,
        pieces,
        fc.constantFrom(16, 32, 128, 256),
        fc.array(fc.nat({ max: PIECES - 1 }), { maxLength: 2 }),
        fc.boolean(),
        fc.integer(),
        (has, held, blockKib, cursors, windowOnly, seed) => {
          const peer = new Asked(has, blockKib * 1024);
          const table = tableWith([peer], held);
          const random = seededRandom(seed);
          for (let block = peer.ask(table, { cursors, windowOnly, random }); block;) {
            expect(peer.pieces.has(block.index)).toBe(true);
            expect(table.held.has(block.index)).toBe(false);
            expect(table.valid(block)).toBe(true);
            expect(block.length).toBeLessThanOrEqual(peer.blockLength);
            expect(block.offset % UNIT_LENGTH).toBe(0);
            expect(!windowOnly || inWindow(cursors, block.index)).toBe(true);
            block = peer.ask(table, { cursors, windowOnly, random });
          }
          const bytes = peer.blocks.reduce((sum, { length }) => sum + length, 0);
          const wanted = has
            .filter((index) => !table.held.has(index))
            .filter((index) => !windowOnly || inWindow(cursors, index));
          expect(bytes).toBe(wanted.reduce((sum, index) => sum + table.sizeOf(index), 0));
        },
      ),
    );
  });

  it('asks first for what a reader needs next, however rare other pieces are', () => {
    const common = new Asked(ALL);
    const table = tableWith([common, new Asked([0, 1, 2, 3, 4, 5, 6])]);
    const order: number[] = [];
    for (let block = common.ask(table, { cursors: [2] }); block; block = common.ask(table, { cursors: [2] }))
      if (order.at(-1) !== block.index) order.push(block.index);
    expect(order.slice(0, WINDOW_PIECES)).toEqual([2, 3]);
    expect(order[WINDOW_PIECES]).toBe(7);
  });

  it('asks a second peer for the end of the piece that a reader waits for, once, while nothing is held', () => {
    const [first, second, third] = [new Asked(ALL), new Asked([0]), new Asked([0])];
    const table = tableWith([first, second, third]);
    const reader = { cursors: [0] };
    expect(first.ask(table, reader)).toEqual({ index: 0, offset: 0, length: PIECE / 2 });
    expect(second.ask(table, reader)).toEqual({ index: 0, offset: PIECE / 2, length: PIECE / 2 });
    expect(first.ask(table, reader)).toEqual({ index: 0, offset: PIECE / 2, length: PIECE / 2 });
    expect(third.ask(table, reader)).toBeUndefined();

    const [whole, again] = [new Asked([0], PIECE), new Asked([0], PIECE)];
    const short = tableWith([whole, again]);
    expect(whole.ask(short, reader)).toEqual({ index: 0, offset: 0, length: PIECE });
    expect(again.ask(short, reader)).toBeUndefined();
    const [near, next] = [new Asked([0]), new Asked([0])];
    const unstored = tableWith([near, next]);
    for (const offset of [0, PIECE / 2])
      expect(near.ask(unstored, { ...reader, windowOnly: true })).toMatchObject({ offset });
    expect(next.ask(unstored, { ...reader, windowOnly: true })).toBeUndefined();
    const [one, other] = [new Asked([0]), new Asked([0])];
    const later = tableWith([one, other], [7]);
    one.ask(later, reader);
    one.ask(later, reader);
    expect(one.blocks).toHaveLength(2);
    expect(other.ask(later, reader)).toBeUndefined();
  });

  it('ends a piece that was begun before it begins another', () => {
    const slow = new Asked(ALL, UNIT_LENGTH);
    const table = tableWith([slow]);
    const begun = slow.ask(table)!;
    const quick = new Asked(ALL, PIECE);
    expect(quick.ask(table)).toEqual({
      index: begun.index,
      offset: UNIT_LENGTH,
      length: PIECE - UNIT_LENGTH,
    });
  });

  it('asks for the rarest piece, and for each of equally rare ones about as often', () => {
    const counts = new Map<number, number>();
    const random = seededRandom(11);
    for (let draw = 0; draw < 3_000; draw++) {
      const peer = new Asked(ALL);
      const table = tableWith([peer, new Asked([0, 3, 5, 6, 7])]);
      const { index } = peer.ask(table, { random })!;
      counts.set(index, (counts.get(index) ?? 0) + 1);
    }
    expect([...counts.keys()].toSorted((a, b) => a - b)).toEqual([1, 2, 4]);
    for (const count of counts.values()) expect(Math.abs(count - 1_000)).toBeLessThan(120);
  });

  it('asks an origin, which shows each piece to nobody else, for equally rare ones in order', () => {
    const origin = new Asked([6, 1, 4, 2], PIECE);
    const table = tableWith([origin, new Asked([1])]);
    const asked = [1, 2, 3, 4].map(() => origin.ask(table, { random: firstOfEquals })?.index);
    expect(asked).toEqual([2, 4, 6, 1]);
  });

  it('asks for nothing that it is told not to', () => {
    const peer = new Asked(ALL);
    const table = tableWith([peer]);
    const asked = new Set<number>();
    for (
      let block = peer.ask(table, { cursors: [0], accepts: onlyThird });
      block;
      block = peer.ask(table, { cursors: [0], accepts: onlyThird })
    )
      asked.add(block.index);
    expect([...asked]).toEqual([3]);
  });

  it('asks another peer for what is under way only at the very end, and never one peer twice', () => {
    const slow = new Asked(ALL);
    const quick = new Asked(ALL);
    const third = new Asked(ALL);
    const table = tableWith([slow, quick, third], [0, 1, 2, 3, 4, 5]);
    slow.ask(table);
    slow.ask(table);
    const busy = slow.blocks[0]!.index;
    expect(quick.ask(table)!.index).not.toBe(busy);
    for (let block = quick.ask(table); block;) block = quick.ask(table);
    expect(quick.blocks).toHaveLength(4);
    for (let block = third.ask(table); block;) block = third.ask(table);
    for (let block = slow.ask(table); block;) block = slow.ask(table);
    for (const peer of [slow, quick, third]) {
      const keys = peer.blocks.map(({ index, offset }) => `${index} ${offset}`);
      expect(new Set(keys).size).toBe(keys.length);
    }
    for (const { units } of table.active.values()) expect([...new Set(units)]).toEqual([ENDGAME_COPIES]);
  });

  it('asks at the very end, too, for nothing that it is told not to', () => {
    const slow = new Asked(ALL);
    const quick = new Asked(ALL);
    const table = tableWith([slow, quick]);
    for (let block = slow.ask(table); block;) block = slow.ask(table);
    for (let block = quick.ask(table, { accepts: onlyThird }); block;) {
      expect(block.index).toBe(3);
      block = quick.ask(table, { accepts: onlyThird });
    }
    expect(quick.blocks).toHaveLength(2);
  });

  it('asks again for what came to nothing', () => {
    const peer = new Asked(ALL);
    const table = tableWith([peer], [0, 1, 2, 3, 4, 5, 6]);
    const first = peer.ask(table)!;
    peer.ask(table);
    table.abandoned(first);
    peer.blocks.splice(0, 1);
    expect(peer.ask(table)).toEqual(first);
    expect(peer.ask(table)).toBeUndefined();
  });

  it('asks for a whole piece at once where the peer allows it, and for the last one no more than it has', () => {
    const peer = new Asked([PIECES - 1], PIECE);
    expect(peer.ask(tableWith([peer]))).toEqual({ index: PIECES - 1, offset: 0, length: PIECE - 1000 });
  });
});

describe('at the end of a blob an idle source', () => {
  const COUNT = 64;
  const first = COUNT - COUNT * TAIL_SHARE;
  const one = { pieces: new Bitfield(COUNT), rate: 0, wanted: -1 };

  function tableMissing(from: number): PieceTable {
    const table = new PieceTable(COUNT * PIECE);
    for (let index = 0; index < from; index++) table.hold(index);
    return table;
  }

  it('is asked for what few have and nobody was asked for', () => {
    const table = tableMissing(first);
    table.activate(first);
    table.peerHas(first + 1);
    table.peerHas(first + 1);
    table.peerHas(first + 2);
    const shown = new Bitfield(COUNT);
    shown.add(first + 3);
    const accepts = (index: number): boolean => index !== first + 4;
    const fast = { pieces: shown, rate: (COUNT * PIECE) / TAIL_SECONDS, wanted: -1 };
    expect(pickTail(table, fast, accepts)).toEqual([first + 2, first + 5, first + 6, first + 7]);
    expect(pickTail(table, { ...fast, rate: 0 }, accepts)).toEqual([first + 2, first + 5]);
  });

  it('is asked for others each time, for it may refuse some, and for the first again after the last', () => {
    const ask = (wanted: number): number[] =>
      pickTail(tableMissing(first), { ...one, wanted }, () => true).map((index) => index - first);
    expect(ask(-1)).toEqual([0, 1]);
    expect(ask(first + 1)).toEqual([2, 3]);
    expect(ask(first + 6)).toEqual([7, 0]);
  });

  it('is asked for nothing before it', () => {
    expect(pickTail(tableMissing(first), one, () => true)).not.toEqual([]);
    expect(pickTail(tableMissing(first - 1), one, () => true)).toEqual([]);
  });

  it('is no longer than what an idle source gives in a moment, however long the blob', () => {
    const count = 2 * (TAIL_PIECES / TAIL_SHARE);
    const ask = (missing: number): number[] => {
      const table = new PieceTable(3 * count * MAX_PIECE_LENGTH);
      for (let index = 0; index < table.count - missing; index++) table.hold(index);
      return pickTail(table, { ...one, pieces: new Bitfield(table.count) }, () => true);
    };
    expect(ask(TAIL_PIECES)).not.toEqual([]);
    expect(ask(TAIL_PIECES + 1)).toEqual([]);
  });
});

describe('a piece that a reader waits for', () => {
  it('is asked for again, of another peer, from the first block that has not come', () => {
    const [slow, other] = [new Asked([3]), new Asked([3])];
    const table = tableWith([slow, other]);
    askForAllOfThird(slow, table);
    table.arrived(slow.blocks[0]!);
    expect(pickRescue(table, other, 3)).toEqual(slow.blocks[1]);
    expect(pickRescue(table, slow, 3)).toBeUndefined();
  });

  it('is not while a part of it can be asked for the first time, nor of who lacks it, nor once it is held', () => {
    const [slow, other, without] = [new Asked([3]), new Asked([3]), new Asked([4])];
    const table = tableWith([slow, other, without]);
    slow.ask(table, { accepts: onlyThird });
    expect(pickRescue(table, other, 3)).toBeUndefined();
    askForAllOfThird(slow, table);
    expect(pickRescue(table, without, 3)).toBeUndefined();
    table.hold(3);
    expect(pickRescue(table, other, 3)).toBeUndefined();
  });
});

import { expect, test } from 'vitest';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { type Neighbour, type Surroundings, ZoneImports } from '#swarm/core/zone-imports.ts';

const PIECES = 803;
const ALL = Array.from({ length: PIECES }, (_, index) => index);
const IDS = Array.from({ length: 5 }, (_, n) => `${n}${'abcdef0123'.repeat(4)}`.slice(0, 40));

function fieldOf(...indices: readonly number[]): Bitfield {
  const pieces = new Bitfield(PIECES);
  for (const index of indices) pieces.add(index);
  return pieces;
}

function neighbour(id: string, ...has: readonly number[]): Neighbour {
  return { id, pieces: fieldOf(...has) };
}

function around(neighbours: readonly Neighbour[], more: Partial<Surroundings> = {}): Surroundings {
  return { neighbours, overdue: new Set(), held: 0, ...more };
}

const admittedBy = (imports: ZoneImports): number[] => ALL.filter((index) => imports.admits(index));

test('members of a zone that know each other share its pieces: each is brought in by one, and all by about as many', () => {
  const importers = new Uint8Array(PIECES);
  for (const self of IDS) {
    const imports = new ZoneImports(self, PIECES);
    const others = IDS.filter((id) => id !== self);
    imports.update(around(others.toReversed().map((id) => neighbour(id))), 0);
    const own = admittedBy(imports);
    expect(own.length).toBeGreaterThan(PIECES / 10);
    expect(own.length).toBeLessThan(PIECES / 3);
    for (const index of own) importers[index]!++;
  }
  expect(importers.every((count) => count === 1)).toBe(true);
});

test('what a neighbour has already is not brought in again', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  imports.update(around([neighbour(IDS[1]!), neighbour(IDS[2]!)]), 0);
  const [first, second] = admittedBy(imports);
  imports.update(around([neighbour(IDS[1]!, first!), neighbour(IDS[2]!)]), 1);
  expect([imports.admits(first!), imports.admits(second!)]).toEqual([false, true]);
});

test('who is alone in its zone, or has too many neighbours to know them all, brings in anything', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  expect(admittedBy(imports)).toEqual(ALL);
  expect(imports.update(around([neighbour(IDS[1]!)]), 0)).toBe(true);
  expect(admittedBy(imports).length).toBeLessThan(PIECES);
  const many = Array.from({ length: 16 }, (_, n) => neighbour(`neighbour ${n}`));
  expect(imports.update(around(many), 1)).toBe(true);
  expect(admittedBy(imports)).toEqual(ALL);
  expect(imports.update(around(many), 2)).toBe(false);
});

test('what a reader has waited for too long is brought in by anybody', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  const neighbours = [neighbour(IDS[1]!, ...ALL)];
  imports.update(around(neighbours), 0);
  expect(admittedBy(imports)).toEqual([]);
  expect(imports.update(around(neighbours, { overdue: new Set([7]) }), 100)).toBe(true);
  expect(admittedBy(imports)).toEqual([7]);
});

test('who gets pieces much slower than before brings in anything for a while, and for longer the next time', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  const neighbours = [neighbour(IDS[1]!, ...ALL)];
  let now = 0;
  let held = 0;
  const isSharedAfter = (seconds: number, piecesPerSecond: number): boolean => {
    for (const end = now + seconds * 1_000; now < end; now += 100) {
      held += piecesPerSecond / 10;
      imports.update(around(neighbours, { held }), now);
    }
    return !imports.admits(400);
  };
  expect(isSharedAfter(3, 40)).toBe(true);
  expect(isSharedAfter(3, 20)).toBe(true);
  expect(isSharedAfter(1, 10)).toBe(false);
  expect(isSharedAfter(2, 40)).toBe(false);
  expect(isSharedAfter(2, 40)).toBe(true);
  expect(isSharedAfter(2, 0)).toBe(false);
  expect(isSharedAfter(5, 40)).toBe(false);
  expect(isSharedAfter(3, 40)).toBe(true);
});

test('few pieces that come unevenly are no reason to stop sharing, nor is the start', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  const neighbours = [neighbour(IDS[1]!, ...ALL)];
  const held = [0, 0, 0, 3, 3, 5, 6, 6, 7, 9];
  for (const [at, count] of held.entries()) {
    imports.update(around(neighbours, { held: count }), at * 500);
    expect(imports.admits(400)).toBe(false);
  }
});

import { expect, test } from 'vitest';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { type Neighbour, type Surroundings, ZoneImports } from '#swarm/core/zone-imports.ts';

const PIECES = 800;
const IDS = Array.from({ length: 5 }, (_, n) => `${n}${'abcdef0123'.repeat(4)}`.slice(0, 40));

function neighbour(id: string, ...has: readonly number[]): Neighbour {
  const pieces = new Bitfield(PIECES);
  for (const index of has) pieces.add(index);
  return { id, pieces };
}

function around(neighbours: readonly Neighbour[], more: Partial<Surroundings> = {}): Surroundings {
  return { neighbours, isBusy: true, overdue: new Set(), ...more };
}

function admitted(imports: ZoneImports): number[] {
  return Array.from({ length: PIECES }, (_, index) => index).filter((index) => imports.admits(index));
}

test('members of a zone that know each other share its pieces: each is brought in by one, and all by about as many', () => {
  const importers = new Uint8Array(PIECES);
  for (const self of IDS) {
    const imports = new ZoneImports(self, PIECES);
    const others = IDS.filter((id) => id !== self);
    imports.update(around(others.toReversed().map((id) => neighbour(id))), 0);
    const own = admitted(imports);
    expect(own.length).toBeGreaterThan(PIECES / 10);
    expect(own.length).toBeLessThan(PIECES / 3);
    for (const index of own) importers[index]!++;
  }
  expect(importers.every((count) => count === 1)).toBe(true);
});

test('what a neighbour has already is not brought in again', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  imports.update(around([neighbour(IDS[1]!), neighbour(IDS[2]!)]), 0);
  const [first, second] = admitted(imports);
  imports.update(around([neighbour(IDS[1]!, first!), neighbour(IDS[2]!), neighbour(IDS[3]!)]), 1);
  expect(imports.admits(first!)).toBe(false);
  imports.update(around([neighbour(IDS[1]!), neighbour(IDS[2]!)]), 2);
  expect([imports.admits(first!), imports.admits(second!)]).toEqual([true, true]);
});

test('who is alone in its zone, or has too many neighbours to know them all, brings in anything', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  expect(admitted(imports)).toHaveLength(PIECES);
  expect(imports.update(around([neighbour(IDS[1]!)]), 0)).toBe(true);
  expect(admitted(imports).length).toBeLessThan(PIECES);
  const many = Array.from({ length: 16 }, (_, n) => neighbour(`neighbour ${n}`));
  expect(imports.update(around(many), 1)).toBe(true);
  expect(admitted(imports)).toHaveLength(PIECES);
  expect(imports.update(around(many), 2)).toBe(false);
});

test('who would be idle over it, or whose reader waits too long, asks beyond its part', () => {
  const imports = new ZoneImports(IDS[0]!, PIECES);
  const neighbours = [neighbour(IDS[1]!), neighbour(IDS[2]!)];
  imports.update(around(neighbours), 0);
  const others = admitted(imports).length;
  const theirs = Array.from({ length: PIECES }, (_, index) => index).find((index) => !imports.admits(index))!;
  expect(imports.update(around(neighbours, { overdue: new Set([theirs]) }), 100)).toBe(true);
  expect(imports.admits(theirs)).toBe(true);
  expect(imports.update(around(neighbours, { isBusy: false }), 300)).toBe(false);
  expect(imports.admits(theirs)).toBe(false);
  expect(imports.update(around(neighbours, { isBusy: false }), 400)).toBe(true);
  expect(admitted(imports)).toHaveLength(PIECES);
  imports.update(around(neighbours), 500);
  expect(admitted(imports)).toHaveLength(others);
});

import { expect, test } from 'vitest';
import { type PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';

const UNIT = 16 * 1024;

/** Memory of so many, all taken before any is given back. */
function takeAll(pool: PiecePool, count: number, length: number): Set<ArrayBufferLike> {
  const taken: PieceMemory[] = Array.from({ length: count }, () => pool.take(length));
  for (const memory of taken) memory.release();
  return new Set(taken.map(({ data }) => data.buffer));
}

test('memory is used again for what is as long, and no more is kept than the limit', () => {
  const pool = new PiecePool(4 * UNIT);
  const first = takeAll(pool, 6, UNIT - 1);
  const again = takeAll(pool, 6, UNIT);
  expect([...again].filter((buffer) => first.has(buffer))).toHaveLength(4);
});

test('what is asked for now is kept rather than what was asked for before', () => {
  const pool = new PiecePool(4 * UNIT);
  takeAll(pool, 4, UNIT);
  const long = takeAll(pool, 2, 2 * UNIT);
  expect(takeAll(pool, 2, 2 * UNIT)).toEqual(long);
});

test('memory is given back once, by the last who uses it', () => {
  const pool = new PiecePool(UNIT);
  const memory = pool.take(UNIT).retain();
  memory.release();
  expect(pool.take(UNIT).data.buffer).not.toBe(memory.data.buffer);
  memory.release();
  expect(pool.take(UNIT).data.buffer).toBe(memory.data.buffer);
  expect(() => memory.release()).toThrow('given back twice');
  expect(() => memory.retain()).toThrow('after it was given back');
});

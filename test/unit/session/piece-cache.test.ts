import { expect, test } from 'vitest';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { type PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';

const PIECE = 1024;
const LIMITS = { bytes: 4 * PIECE, awaitedBytes: 2 * PIECE, awaitedMs: 1_000 };
const STRAY = { unwritten: false, awaited: false };
const AWAITED = { unwritten: false, awaited: true };
const UNWRITTEN = { unwritten: true, awaited: false };

class Cached {
  readonly #pool = new PiecePool(0);
  readonly #seen = new Set<string>();
  now = 0;
  readonly cache = new PieceCache(LIMITS, () => this.now);

  put(key: string, use: Parameters<PieceCache['put']>[2]): PieceMemory {
    this.#seen.add(key);
    const memory = this.#pool.take(PIECE);
    this.cache.put(key, memory, use);
    return memory;
  }

  /** In the order they were put first; looking does not count as use. */
  get kept(): string[] {
    const held = [...this.#seen].map((key) => [key, this.cache.get(key)] as const);
    return held.filter(([, memory]) => memory).map(([key]) => key);
  }
}

test('the least recently used goes first', () => {
  const cached = new Cached();
  for (const key of ['a', 'b', 'c', 'd']) cached.put(key, STRAY);
  cached.cache.get('a');
  cached.put('e', STRAY);
  expect(cached.kept).toEqual(['a', 'c', 'd', 'e']);
  expect(cached.cache.bytes).toBe(4 * PIECE);
});

test('what own readers await stays until they have passed, however much others take', () => {
  const cached = new Cached();
  cached.put('next', AWAITED);
  for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) cached.put(key, STRAY);
  expect(cached.kept).toEqual(['next', 'd', 'e', 'f']);
  cached.cache.passed('next');
  cached.put('g', STRAY);
  expect(cached.kept).toEqual(['d', 'e', 'f', 'g']);
});

test('a run of pieces longer than the cache leaves a part of it in memory, not none', () => {
  const cached = new Cached();
  for (let index = 0; index < 20; index++) cached.put(`${index}`, AWAITED);
  expect(cached.kept).toEqual(['0', '1', '18', '19']);
});

test('room that readers have given back protects the next', () => {
  const cached = new Cached();
  for (const key of ['a', 'b']) cached.put(key, AWAITED);
  cached.cache.passed('a');
  cached.cache.passed('a');
  cached.cache.delete('b');
  for (const key of ['c', 'd']) cached.put(key, AWAITED);
  cached.put('e', AWAITED); // beyond what is kept for readers
  for (const key of ['f', 'g', 'h']) cached.put(key, STRAY);
  expect(cached.kept).toEqual(['c', 'd', 'g', 'h']);
});

test('a reader that never comes keeps nothing in memory', () => {
  const cached = new Cached();
  for (const key of ['a', 'b']) cached.put(key, AWAITED);
  cached.now = LIMITS.awaitedMs;
  for (const key of ['c', 'd', 'e', 'f']) cached.put(key, STRAY);
  expect(cached.kept).toEqual(['c', 'd', 'e', 'f']);
  // Nor does it count against those that do come.
  cached.put('g', AWAITED);
  for (const key of ['h', 'i', 'j', 'k']) cached.put(key, STRAY);
  expect(cached.kept).toEqual(['g', 'i', 'j', 'k']);
});

test('what is not on disk yet stays beyond the limit, and goes once it is', () => {
  const cached = new Cached();
  const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
  const [first, second] = keys.map((key) => cached.put(key, UNWRITTEN));
  expect(cached.kept).toEqual(keys);
  cached.cache.written('a', first!);
  cached.cache.written('b', second!);
  expect(cached.kept).toEqual(['c', 'd', 'e', 'f']);
});

test('what is put anew while it is being written stays until its own write is over, whatever the disk gives meanwhile', () => {
  const cached = new Cached();
  const before = cached.put('a', UNWRITTEN);
  const anew = cached.put('a', UNWRITTEN);
  cached.cache.written('a', before);
  cached.put('a', STRAY);
  const others = ['b', 'c', 'd', 'e', 'f'];
  for (const key of others) cached.put(key, STRAY);
  expect(cached.kept).toEqual(['a', 'd', 'e', 'f']);
  cached.cache.written('a', anew);
  cached.put('g', STRAY);
  expect(cached.kept).not.toContain('b');
  cached.cache.get('d');
  for (const key of ['h', 'i', 'j', 'k']) cached.put(key, STRAY);
  expect(cached.kept).toEqual(['h', 'i', 'j', 'k']);
});

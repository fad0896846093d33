import { expect, test } from 'vitest';
import { Assembly } from '#swarm/session/assembly.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';
import { Suspects } from '#swarm/session/suspects.ts';
import { recordedSession } from './recorded-session.ts';

const HALF = 16 * 1024;

/** Half a piece, or more, of one and the same byte; `given` tells when its memory is given back. */
function memoryOf(byte: number, length = HALF): { memory: PieceMemory; given: { back: boolean } } {
  const given = { back: false };
  return { memory: new PieceMemory(Buffer.alloc(length, byte), () => void (given.back = true)), given };
}

async function peers(stack: AsyncDisposableStack, count: number): Promise<PeerSession[]> {
  const sessions = await Promise.all(Array.from({ length: count }, () => recordedSession(stack)));
  return sessions.map(({ peer }) => peer);
}

test('blocks become a piece in whatever order they come, and their memory is given back when it is there', async () => {
  await using stack = new AsyncDisposableStack();
  const [peer] = await peers(stack, 1);
  const assembly = new Assembly(new PiecePool(0));
  const [late, early] = [memoryOf(2), memoryOf(1)];
  assembly.add({ index: 7, offset: HALF, length: HALF }, late.memory, peer!);
  assembly.add({ index: 7, offset: 0, length: HALF }, early.memory, peer!);
  const piece = assembly.join(7, 2 * HALF);
  expect(piece.data).toEqual(Buffer.concat([Buffer.alloc(HALF, 1), Buffer.alloc(HALF, 2)]));
  expect([late.given.back, early.given.back]).toEqual([false, false]);
  assembly.drop(7);
  expect([late.given.back, early.given.back]).toEqual([true, true]);
  expect(assembly.blocks(7)).toEqual([]);
});

test('a block as long as its piece becomes the piece, without a copy', async () => {
  await using stack = new AsyncDisposableStack();
  const [peer] = await peers(stack, 1);
  const assembly = new Assembly(new PiecePool(0));
  const { memory, given } = memoryOf(3);
  assembly.add({ index: 0, offset: 0, length: HALF }, memory, peer!);
  const piece = assembly.join(0, HALF);
  assembly.drop(0);
  expect(piece.data).toBe(memory.data);
  expect(given.back).toBe(false);
  piece.release();
  expect(given.back).toBe(true);
});

test('who sent wrong bytes is found out, also where another has sent the same range after', async () => {
  await using stack = new AsyncDisposableStack();
  const [overwritten, honest, last] = await peers(stack, 3);
  const assembly = new Assembly(new PiecePool(0));
  assembly.add({ index: 0, offset: 0, length: HALF }, memoryOf(9).memory, overwritten!);
  assembly.add({ index: 0, offset: 0, length: HALF }, memoryOf(1).memory, honest!);
  assembly.add({ index: 0, offset: HALF, length: HALF }, memoryOf(9).memory, last!);
  const suspects = new Suspects();
  suspects.failed(0, assembly.blocks(0));
  assembly.drop(0);
  const right = Buffer.concat([Buffer.alloc(HALF, 1), Buffer.alloc(HALF, 2)]);
  expect(suspects.settled(0, right)).toEqual(new Set([overwritten, last]));
});

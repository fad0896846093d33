import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import type { HashBatch } from '#swarm/hashes/batch.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { type PieceEvents, Pieces } from '#swarm/session/pieces.ts';
import { PieceStorage, WriteBacklog } from '#swarm/session/piece-storage.ts';
import { linksOf } from '../../support/links.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { recordedSession } from './recorded-session.ts';

const PIECE = 256 * 1024;
const HALF = PIECE / 2;
const blob = deterministicBytes('pieces', 3 * PIECE);
const digest = digestOf(blob);
const none = (): void => undefined;

/** The pieces of one blob, kept in memory, and how many of the blocks that peers sent hold memory still. */
class Scene implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly pieces: Pieces;
  readonly bad: number[] = [];
  readonly shareable: number[] = [];
  readonly mismatches: string[] = [];
  blocksInUse = 0;

  constructor() {
    const events: PieceEvents = {
      absent: none,
      held: none,
      shareable: (index) => void this.shareable.push(index),
      bad: (index) => void this.bad.push(index),
      convicted: none,
      hashMissing: none,
      vouched: none,
      whole: none,
      mismatch: ({ cause }) => void this.mismatches.push(cause instanceof Error ? cause.message : ''),
      unreadable: none,
    };
    const pool = new PiecePool(0);
    const cache = new PieceCache({ bytes: 0, awaitedBytes: 0, awaitedMs: 0 }, () => 0);
    const storage = new PieceStorage(
      { cache, backlog: new WriteBacklog(), pool, now: () => 0, onFull: none },
      { size: blob.length, place: undefined },
    );
    this.#stack.use(storage);
    this.pieces = new Pieces(
      { digest, size: blob.length, complete: false },
      { storage, pool, events, isAhead: () => false },
    );
  }

  async peer(): Promise<PeerSession> {
    return (await recordedSession(this.#stack)).peer;
  }

  /** What an origin has signed of some pieces. @returns whether it fits what is known */
  learnHashes(first = 0, links = linksOf(digest, blob)): boolean {
    const batch: HashBatch = {
      digest,
      scope: 'registry.example',
      size: blob.length,
      pieceLength: pieceLength(blob.length),
      first,
      links: Buffer.concat(links),
    };
    return this.pieces.learn(batch, Buffer.alloc(0));
  }

  supply(index: number, isWrong = false): void {
    const data = Buffer.from(pieceOf(index));
    if (isWrong) data[0]! ^= 1;
    this.pieces.supply(index, new PieceMemory(data));
  }

  /** Half of a piece comes from the peer. */
  arrive(peer: PeerSession, index: number, half: 0 | 1, isWrong = false): void {
    const block = { index, offset: half * HALF, length: HALF };
    const data = Buffer.from(pieceOf(index).subarray(block.offset, block.offset + HALF));
    if (isWrong) data[0]! ^= 1;
    this.pieces.suspects.asked(peer, index);
    const { table } = this.pieces;
    if (!table.active.has(index)) table.activate(index);
    table.requested(block);
    this.blocksInUse++;
    this.pieces.arrived(peer, block, new PieceMemory(data, () => void this.blocksInUse--));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** What goes on in the background, without a wait, is through. */
const settled = (): Promise<void> => setImmediate();

function pieceOf(index: number): Buffer {
  return blob.subarray(index * PIECE, (index + 1) * PIECE);
}

test('blocks give their memory back once their piece is held', async () => {
  await using scene = new Scene();
  const peer = await scene.peer();
  scene.learnHashes();
  scene.arrive(peer, 1, 1);
  expect(scene.blocksInUse).toBe(1);
  scene.arrive(peer, 1, 0);
  expect(scene.pieces.table.held.has(1)).toBe(true);
  expect(scene.blocksInUse).toBe(0);
});

test('blocks of a piece whose hash nobody has told wait for it', async () => {
  await using scene = new Scene();
  const peer = await scene.peer();
  scene.arrive(peer, 0, 0);
  scene.arrive(peer, 0, 1);
  expect([...scene.pieces.parked()]).toEqual([0]);
  expect(scene.blocksInUse).toBe(2);
  scene.learnHashes();
  expect(scene.pieces.table.held.has(0)).toBe(true);
  expect(scene.blocksInUse).toBe(0);
});

test('blocks give their memory back where the piece is bad, and where who sent it anew has left', async () => {
  await using scene = new Scene();
  const [first, second] = [await scene.peer(), await scene.peer()];
  scene.learnHashes();
  scene.arrive(first, 2, 0, true);
  scene.arrive(second, 2, 1);
  expect(scene.bad).toEqual([2]);
  expect(scene.blocksInUse).toBe(0);
  scene.arrive(second, 2, 0);
  expect(scene.blocksInUse).toBe(1);
  scene.pieces.abandonedBy(second);
  expect(scene.blocksInUse).toBe(0);
});

test('blocks give their memory back where upstream was first, and where the piece is lost', async () => {
  await using scene = new Scene();
  const peer = await scene.peer();
  scene.learnHashes();
  scene.arrive(peer, 0, 0);
  scene.supply(0);
  expect(scene.blocksInUse).toBe(0);
  scene.arrive(peer, 1, 0);
  scene.pieces.lose(1);
  expect(scene.blocksInUse).toBe(0);
});

test('a batch that does not join the others, or does not end in the digest, is refused', async () => {
  await using scene = new Scene();
  const links = linksOf(digest, blob);
  const other = linksOf(digest, deterministicBytes('other', blob.length));
  expect(scene.learnHashes(0, links.slice(0, 2))).toBe(true);
  expect(scene.learnHashes(1, [other[1]!, links[2]!])).toBe(false);
  expect(scene.learnHashes(2, [links[2]!, other[3]!])).toBe(false);
  expect(scene.learnHashes(0, other.slice(1, 3))).toBe(false);
  expect([0, 1, 2].map((index) => scene.pieces.hashes.has(index))).toEqual([true, false, false]);
  expect(scene.learnHashes(1, links.slice(1))).toBe(true);
  expect(scene.pieces.hashes.complete).toBe(true);
});

test('what came from upstream unsigned and out of order goes to peers once the digest has come to it', async () => {
  await using scene = new Scene();
  scene.supply(1);
  scene.learnHashes();
  await settled();
  expect(scene.shareable).toEqual([]);
  scene.supply(0);
  await expect.poll(() => scene.shareable).toEqual([0, 1]);
  scene.supply(2);
  await expect.poll(() => scene.pieces.verified).toBe(true);
  expect(scene.shareable).toEqual([0, 1, 2]);
});

test('the whole is right without a signature, by its digest alone', async () => {
  await using scene = new Scene();
  for (const index of [2, 0, 1]) scene.supply(index);
  await expect.poll(() => scene.pieces.verified).toBe(true);
  expect(new Set(scene.shareable)).toEqual(new Set([0, 1, 2]));
});

test.each([
  ['before it was signed', [0]],
  ['before it was signed, behind a hole', [1, 0]],
])('other bytes from upstream than an origin has signed, taken %s, end it', async (_when, order) => {
  await using scene = new Scene();
  const [wrong, ...right] = order;
  scene.supply(wrong!, true);
  await settled();
  scene.learnHashes();
  for (const index of right) scene.supply(index);
  await expect.poll(() => scene.mismatches).toEqual([`upstream and an origin differ on piece ${wrong!}`]);
  expect(scene.shareable).toEqual(right);
});

test('a piece of upstream’s that is lost does not come back as another: readers may have had it', async () => {
  await using scene = new Scene();
  const peer = await scene.peer();
  scene.supply(1, true);
  scene.pieces.lose(1);
  expect(() => scene.supply(1)).toThrow('does not match itself');
  scene.learnHashes();
  scene.arrive(peer, 1, 0);
  scene.arrive(peer, 1, 1);
  expect(scene.mismatches).toEqual(['upstream and an origin differ on piece 1']);
  expect(scene.pieces.table.held.has(1)).toBe(false);
  expect(scene.blocksInUse).toBe(0);
});

test('a signed piece that does not follow from what upstream gave before it ends it', async () => {
  await using scene = new Scene();
  scene.supply(0, true);
  await settled();
  scene.learnHashes(1, linksOf(digest, blob).slice(1));
  scene.supply(1);
  await expect.poll(() => scene.mismatches.length).toBe(1);
  scene.supply(2);
  await settled();
  expect(scene.pieces.verified).toBe(false);
});

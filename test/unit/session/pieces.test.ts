import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import type { HashBatch } from '#swarm/hashes/batch.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PieceMemory, PiecePool } from '#swarm/session/piece-memory.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { type PieceEvents, Pieces } from '#swarm/session/pieces.ts';
import { PieceStorage, WriteBacklog } from '#swarm/session/piece-storage.ts';
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
  blocksInUse = 0;

  constructor() {
    const events: PieceEvents = {
      absent: none,
      held: none,
      shareable: none,
      bad: (index) => void this.bad.push(index),
      convicted: none,
      hashMissing: none,
      vouched: none,
      whole: none,
      mismatch: none,
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

  learnHashes(): void {
    const hashes = Buffer.concat(
      [0, 1, 2].map((index) => createHash('sha256').update(pieceOf(index)).digest()),
    );
    const scope = 'registry.example';
    const batch: HashBatch = {
      digest,
      scope,
      size: blob.length,
      pieceLength: pieceLength(blob.length),
      first: 0,
      hashes,
    };
    this.pieces.learn(batch, Buffer.alloc(0));
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
  scene.pieces.supply(0, new PieceMemory(Buffer.from(pieceOf(0))));
  expect(scene.blocksInUse).toBe(0);
  scene.arrive(peer, 1, 0);
  scene.pieces.lose(1);
  expect(scene.blocksInUse).toBe(0);
});

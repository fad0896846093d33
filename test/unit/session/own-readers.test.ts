import { expect, test, vi } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PIECE_CACHE_LIMITS } from '#swarm/session/defaults.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
/** More than is kept in memory. */
const PIECES = (1.25 * PIECE_CACHE_LIMITS.bytes) / PIECE;
const blob = deterministicBytes('read by its own node', PIECES * PIECE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const deadline = (): AbortSignal => AbortSignal.timeout(30_000);

const isInMemory = ({ pieces }: Torrent, index: number): boolean => {
  const piece = pieces.storage.read(index, 0, 1);
  if (!(piece instanceof Promise)) {
    piece.memory.release();
    return true;
  }
  piece.then(
    ({ memory }) => memory.release(),
    () => undefined,
  );
  return false;
};

async function open(fixture: SwarmFixture): Promise<Torrent> {
  const { swarm } = await fixture.member('agent', { clock: { now: () => 1 } });
  return swarm.engine.torrent(request);
}

/** Everything is fed but the first piece, so that nothing can be read in order. */
async function feedBehindHole(fixture: SwarmFixture, torrent: Torrent): Promise<void> {
  fixture.feed(torrent, blob, 1);
  await expect.poll(() => torrent.pieces.storage.unwrittenBytes, { timeout: 20_000 }).toBe(0);
}

test('behind a hole the pieces that a reader comes to next stay in memory, however many come after them', async () => {
  await using fixture = await SwarmFixture.start();
  const torrent = await open(fixture);
  const stop = new AbortController();
  const first = torrent.read(0, blob.length, stop.signal).next();
  await feedBehindHole(fixture, torrent);
  expect(isInMemory(torrent, 1)).toBe(true);
  expect(isInMemory(torrent, 10)).toBe(true);
  stop.abort(new Error('read enough'));
  await expect(first).rejects.toThrow('read enough');
});

test('nothing stays for the digest, which reads nothing that was proven when it came', async () => {
  await using fixture = await SwarmFixture.start();
  const torrent = await open(fixture);
  await feedBehindHole(fixture, torrent);
  expect(isInMemory(torrent, 1)).toBe(false);
  const read = vi.spyOn(torrent.pieces.storage, 'readPiece');
  fixture.feed(torrent, blob, 0, 1);
  await torrent.whenComplete(deadline());
  expect(read).not.toHaveBeenCalled();
});

test('what the digest has passed stays only while a reader is still to come to it', async () => {
  await using fixture = await SwarmFixture.start();
  const torrent = await open(fixture);
  const reading = torrent.read(0, blob.length, deadline());
  const first = reading.next();
  await feedBehindHole(fixture, torrent);
  fixture.feed(torrent, blob, 0, 1);
  await torrent.whenComplete(deadline());
  await first;
  const others = async (): Promise<void> => {
    for (let index = PIECES - 1; index > 20; index--)
      (await torrent.pieces.storage.readPiece(index)).memory.release();
  };
  await others();
  expect(isInMemory(torrent, 2)).toBe(true);
  for (let index = 1; index <= 4; index++) await reading.next();
  await others();
  expect([1, 2, 5].map((index) => isInMemory(torrent, index))).toEqual([false, false, true]);
  await reading.return(undefined);
});

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import { loopRest } from '#swarm/wire/loop-rest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const blob = deterministicBytes('rests', 4 * PIECE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };

/** What keeps the loop awake, less what lets it rest. */
let awake = 0;

beforeEach(() => {
  awake = 0;
  vi.spyOn(loopRest, 'keepAwake').mockImplementation(() => void awake++);
  vi.spyOn(loopRest, 'letRest').mockImplementation(() => void awake--);
});

afterEach(() => {
  vi.restoreAllMocks();
});

const settled = (count: number): Promise<void> => vi.waitFor(() => expect(awake).toBe(count));

test('a reader that has its first piece lets the loop rest while it waits for the next', async () => {
  await using fixture = await SwarmFixture.start();
  const { swarm } = await fixture.member('agent', { clock: { now: () => 1 } });
  const torrent = await swarm.engine.torrent(request);
  await settled(0);
  const life = new AbortController();
  const reading = torrent.read(0, blob.length, life.signal);
  const first = reading.next();
  await settled(0);
  fixture.feed(torrent, blob, 0, 1);
  await first;
  const second = reading.next();
  await settled(-1);
  fixture.feed(torrent, blob, 1, 2);
  await second;
  await settled(0);
  const third = reading.next();
  await settled(-1);
  life.abort(new Error('the client went away'));
  await expect(third).rejects.toThrow('the client went away');
  await settled(0);
});

test('the loop stays awake while a piece is read from disk, also where that fails', async () => {
  const pool = new PiecePool(PIECE);
  const reading = Promise.withResolvers<void>();
  const filled = pool.filled(PIECE, () => reading.promise);
  expect(awake).toBe(1);
  reading.resolve();
  (await filled).release();
  expect(awake).toBe(0);
  await expect(pool.filled(PIECE, () => Promise.reject(new Error('a bad disk')))).rejects.toThrow(
    'a bad disk',
  );
  expect(awake).toBe(0);
});

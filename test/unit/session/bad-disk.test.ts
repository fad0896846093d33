import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { PIECE_CACHE_LIMITS } from '#swarm/session/defaults.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { readAll, readBytes, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
/** More than is kept in memory of what came last. */
const PIECES = (1.25 * PIECE_CACHE_LIMITS.bytes) / PIECE;
const blob = deterministicBytes('on a bad disk', PIECES * PIECE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const deadline = (): AbortSignal => AbortSignal.timeout(30_000);

it('reads a stored blob whose hashes cannot be read', async () => {
  await using fixture = await SwarmFixture.start();
  const { swarm, store } = await fixture.member('agent');
  const torrent = await swarm.engine.torrent(request);
  fixture.feed(torrent, blob);
  await torrent.whenComplete(deadline());
  const open = store.open.bind(store);
  store.open = async (...asked) => {
    const opened = await open(...asked);
    if (opened) opened.batches = () => Promise.reject(new Error('EIO: i/o error, read'));
    return opened;
  };
  await using read = await swarm.engine.openStored(request.digest);
  const chunks: Buffer[] = [];
  for await (const chunk of read!.read(0, blob.length, deadline())) chunks.push(Buffer.from(chunk));
  expect(Buffer.concat(chunks).equals(blob)).toBe(true);
});

it('gives nobody a blob that a reader has found damaged, though peers have it open', async () => {
  await using fixture = await SwarmFixture.start();
  const { swarm, store } = await fixture.member('agent', { writeAt: fixture.damage(1_000_000) });
  const seeding = await swarm.engine.torrent(request);
  fixture.feed(seeding, blob);
  await seeding.whenComplete(deadline());
  await using read = await swarm.engine.openStored(request.digest);
  const reading = read!.read(1_000_000, 1_000_001, deadline()).next();
  await expect(reading).rejects.toThrow('not what was stored');
  expect(store.has(request.digest)).toBe(false);
  const anew = await swarm.engine.torrent(request);
  expect(anew.complete).toBe(false);
  fixture.feed(anew, blob);
  expect(await readAll(anew, deadline())).toBe(request.digest);
});

describe('an agent whose disk gives back other bytes than it was given', () => {
  it('fetches them anew for its reader, in the middle of a pull', async () => {
    await using fixture = await SwarmFixture.start();
    const origin = await fixture.member('origin');
    const seeding = await origin.swarm.engine.torrent(request);
    fixture.feed(seeding, blob, 0, PIECES - 1);
    const agent = await fixture.member('agent', { writeAt: fixture.damage(1_000_000) });
    const torrent = await agent.swarm.engine.torrent(request);
    torrent.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
    await expect.poll(() => torrent.pieces.table.held.count, { timeout: 20_000 }).toBe(PIECES - 1);
    const most = (PIECES - 1) * PIECE;
    const read = await readBytes(torrent, 0, most, deadline());
    expect(read.equals(blob.subarray(0, most))).toBe(true);
    fixture.feed(seeding, blob, PIECES - 1);
    await torrent.whenComplete(deadline());
    expect(torrent.sources.origin).toBe((PIECES + 1) * PIECE);
  });

  it('of every piece, passes them on to nobody, and holds the blob no longer', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent', { writeAt: fixture.damage(100_000, PIECE) });
    const first = await agent.swarm.engine.torrent(request);
    fixture.feed(first, blob);
    await first.whenComplete(deadline());
    const late = await fixture.member('agent');
    const torrent = await late.swarm.engine.torrent(request);
    torrent.addPeer({ host: '127.0.0.1', port: agent.swarm.port, role: 'agent' });
    // From memory, if that is the first that it asks for.
    const isServed = (): boolean => torrent.pieces.table.held.count > 0 || first.failure !== undefined;
    await expect.poll(isServed, { timeout: 20_000 }).toBe(true);
    const pull = readAll(torrent, deadline());
    await expect.poll(() => first.failure, { timeout: 20_000 }).toBeDefined();
    fixture.feed(torrent, blob);
    expect(await pull).toBe(request.digest);
    expect(late.counts.failed).toBe(0);
    expect(await agent.store.open(request.digest)).toBeUndefined();
  });

  it('of one piece, passes it on to one peer at most, and gives the blob up when the next asks', async () => {
    await using fixture = await SwarmFixture.start();
    const bad = await fixture.member('origin', { writeAt: fixture.damage(1_000_000) });
    const seeding = await bad.swarm.engine.torrent(request);
    fixture.feed(seeding, blob);
    await seeding.whenComplete(deadline());
    const agents = [
      await fixture.member('agent'),
      await fixture.member('agent'),
      await fixture.member('agent'),
    ];
    const torrents: Torrent[] = [];
    for (const { swarm } of agents) {
      const torrent = await swarm.engine.torrent(request);
      torrent.addPeer({ host: '127.0.0.1', port: bad.swarm.port, role: 'origin' });
      torrents.push(torrent);
    }
    await expect.poll(() => seeding.failure, { timeout: 20_000 }).toBeDefined();
    expect(agents.reduce((sum, { counts }) => sum + counts.failed, 0)).toBeLessThan(2);
    expect(bad.store.has(request.digest)).toBe(false);
    for (const torrent of torrents) {
      fixture.feed(torrent, blob);
      expect(await readAll(torrent, deadline())).toBe(request.digest);
    }
  });
});

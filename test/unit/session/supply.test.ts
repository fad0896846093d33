import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { DigestMismatchError } from '#swarm/session/errors.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { pieceOf, readAll, readBytes, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const PIECES = 8;
const blob = deterministicBytes('supplied', PIECES * PIECE - 5);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);

describe('pieces read from upstream', () => {
  it('go to own readers at once, and to peers only when the whole is verified, if no origin has signed their hashes', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    await using peer = await RawPeer.connect(agent.swarm.port, torrent.swarmId);
    peer.wire.interested();
    await expect.poll(() => peer.choked).toBe(false);
    for (let index = 0; index < PIECES - 1; index++)
      torrent.supply(index, new PieceMemory(pieceOf(blob, index)));
    expect(await readBytes(torrent, 0, 3 * PIECE, deadline())).toEqual(blob.subarray(0, 3 * PIECE));
    peer.wire.request({ index: 0, offset: 0, length: 16_384 });
    await expect.poll(() => peer.rejected.length).toBe(1);
    expect(peer.have.size).toBe(0);
    torrent.supply(PIECES - 1, new PieceMemory(pieceOf(blob, PIECES - 1)));
    await expect.poll(() => peer.have.size).toBe(PIECES);
    peer.wire.request({ index: 0, offset: 0, length: 16_384 });
    await expect.poll(() => peer.received.length).toBe(1);
    await torrent.whenComplete(deadline());
    expect(agent.store.has(request.digest)).toBe(true);
  });

  it('go to peers as soon as an origin has signed their hashes, before or after they came', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    await using peer = await RawPeer.connect(agent.swarm.port, torrent.swarmId);
    const batch = fixture.sign(request.digest, request.scope, blob.length, [
      pieceOf(blob, 0),
      pieceOf(blob, 1),
    ]);
    torrent.supply(0, new PieceMemory(pieceOf(blob, 0)));
    torrent.batches.add(batch);
    torrent.supply(1, new PieceMemory(pieceOf(blob, 1)));
    torrent.supply(2, new PieceMemory(pieceOf(blob, 2)));
    await expect.poll(() => peer.have).toEqual(new Set([0, 1]));
  });

  it('end the torrent when an origin has signed other hashes: nothing is kept, and no reader gets an end', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    const pull = readAll(torrent, deadline());
    torrent.supply(0, new PieceMemory(pieceOf(deterministicBytes('another', blob.length), 0)));
    torrent.batches.add(fixture.sign(request.digest, request.scope, blob.length, [pieceOf(blob, 0)]));
    await expect(pull).rejects.toThrow(DigestMismatchError);
    await expect.poll(() => agent.store.usage().partialBytes).toBe(0);
    const next = await agent.swarm.engine.torrent(request);
    fixture.feed(next, blob);
    expect(await readAll(next, deadline())).toBe(request.digest);
  });

  it('are refused when they are not what was signed, of another length or of no piece', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    torrent.batches.add(fixture.sign(request.digest, request.scope, blob.length, [pieceOf(blob, 0)]));
    expect(() => torrent.supply(0, new PieceMemory(pieceOf(blob, 1)))).toThrow(
      /does not match its signed hash/u,
    );
    expect(() => torrent.supply(1, new PieceMemory(pieceOf(blob, PIECES - 1)))).toThrow(RangeError);
    expect(() => torrent.supply(PIECES, new PieceMemory(pieceOf(blob, 0)))).toThrow(RangeError);
    expect(() => torrent.supply(-1, new PieceMemory(pieceOf(blob, 0)))).toThrow(RangeError);
    torrent.supply(0, new PieceMemory(pieceOf(blob, 0)));
    expect([...torrent.pieces.table.held]).toEqual([0]);
  });

  it('come from the next origin where the first one has died, without those that the cluster has', async () => {
    await using fixture = await SwarmFixture.start();
    const first = await fixture.member('origin');
    const agent = await fixture.member('agent');
    const leeching = await agent.swarm.engine.torrent(request);
    fixture.feed(await first.swarm.engine.torrent(request), blob, 0, 5);
    const pull = readAll(leeching, deadline());
    await expect.poll(() => leeching.pieces.table.held.count).toBe(5);
    await first[Symbol.asyncDispose]();
    const next = await fixture.member('origin');
    const seeding = await next.swarm.engine.torrent(request);
    await expect.poll(() => seeding.pieces.table.held.count, { timeout: 10_000 }).toBe(5);
    expect(seeding.missing(0, 100)).toEqual({ first: 5, count: 3 });
    fixture.feed(seeding, blob, 5);
    expect(await pull).toBe(request.digest);
    await seeding.whenComplete(deadline());
    expect(seeding.sources).toEqual({
      cache: 0,
      peer: 5 * PIECE,
      origin: 0,
      upstream: blob.length - 5 * PIECE,
    });
  });

  it('end what a peer had begun when it died in the middle of a piece', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    const pieces = Array.from({ length: PIECES }, (_, index) => pieceOf(blob, index));
    torrent.batches.add(fixture.sign(request.digest, request.scope, blob.length, pieces));
    const answer = honestly(blob);
    let sent = 0;
    await using dying = await RawPeer.connect(agent.swarm.port, torrent.swarmId, {
      answer: (block) => (sent++ < 5 ? answer(block) : undefined),
    });
    dying.offer(PIECES);
    await expect.poll(() => dying.requests.length).toBeGreaterThan(6);
    dying.wire.close();
    await using other = await RawPeer.connect(agent.swarm.port, torrent.swarmId, { answer });
    other.offer(PIECES);
    expect(await readAll(torrent, deadline())).toBe(request.digest);
    const asked = other.requests.reduce((sum, { length }) => sum + length, 0);
    expect(asked).toBeLessThanOrEqual(blob.length - 4 * 128 * 1024);
  });
});

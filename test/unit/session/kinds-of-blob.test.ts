import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { MAX_BLOB_SIZE } from '#swarm/core/piece-length.ts';
import { DigestMismatchError } from '#swarm/session/errors.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { pieceOf, readAll, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const scope = 'registry.example';
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);

describe('a blob', () => {
  it('of no bytes is complete and stored at once, if its digest is that of nothing', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const digest = digestOf('');
    const torrent = await agent.swarm.engine.torrent({ digest, scope, size: 0 });
    expect(await readAll(torrent, deadline())).toBe(digest);
    await torrent.whenComplete(deadline());
    expect(agent.store.has(digest)).toBe(true);
  });

  it('that is said to have no bytes and has another digest gets no end', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const request = { digest: digestOf('something'), scope, size: 0 };
    const torrent = await agent.swarm.engine.torrent(request);
    await expect(readAll(torrent, deadline())).rejects.toThrow(DigestMismatchError);
    await expect.poll(() => agent.swarm.engine.status.torrents).toBe(0);
    expect(agent.store.has(request.digest)).toBe(false);
  });

  it.each([-1, 0.5, Number.NaN, Infinity, MAX_BLOB_SIZE + 1])('of %d bytes is refused', async (size) => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    await expect(agent.swarm.engine.torrent({ digest: digestOf(''), scope, size })).rejects.toThrow(
      RangeError,
    );
  });

  it('of one piece needs no signed hash: its digest is the hash', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const blob = deterministicBytes('small', 1234);
    const torrent = await agent.swarm.engine.torrent({ digest: digestOf(blob), scope, size: blob.length });
    await using liar = await RawPeer.connect(agent.swarm.port, torrent.swarmId, {
      answer: ({ length }) => Buffer.alloc(length),
    });
    liar.offer(1);
    await liar.closed;
    await using peer = await RawPeer.connect(agent.swarm.port, torrent.swarmId, { answer: honestly(blob) });
    peer.offer(1);
    expect(await readAll(torrent, deadline())).toBe(torrent.digest);
    expect(agent.counts.failed).toBe(1);
  });

  it.each([1, 5])('named by its sha512 comes through the swarm like any other (%i pieces)', async (count) => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('sha512', count * PIECE - 1);
    const request = { digest: digestOf(blob, 'sha512'), scope, size: blob.length };
    const origin = await fixture.member('origin');
    fixture.feed(await origin.swarm.engine.torrent(request), blob);
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    const sha256 = await readAll(torrent, deadline());
    expect(sha256).toBe(digestOf(blob));
    await torrent.whenComplete(deadline());
    expect(agent.store.has(request.digest)).toBe(true);
  });

  it('whose size was told wrong ends in an error, without a ban for those who told the right one', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const blob = deterministicBytes('wrong size', 3 * PIECE);
    const pieces = [0, 1, 2].map((index) => pieceOf(blob, index));
    const signed = fixture.sign(digestOf(blob), scope, blob.length, pieces);
    const wrong = await agent.swarm.engine.torrent({ digest: digestOf(blob), scope, size: blob.length + 1 });
    await using peer = await RawPeer.connect(agent.swarm.port, wrong.swarmId, {
      answer: honestly(blob),
      hashes: () => signed,
    });
    peer.offer(4);
    await expect(readAll(wrong, deadline())).rejects.toThrow(DigestMismatchError);
    const right = await agent.swarm.engine.torrent({ digest: digestOf(blob), scope, size: blob.length });
    await peer.redial(agent.swarm.port, right.swarmId);
    peer.offer(3);
    expect(await readAll(right, deadline())).toBe(digestOf(blob));
  });

  it('that two registries deliver has a swarm for each, and the whole is shared by both', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('two registries', 4 * PIECE);
    const digest = digestOf(blob);
    const size = blob.length;
    const agent = await fixture.member('agent');
    const one = await agent.swarm.engine.torrent({ digest, scope: 'one.example', size });
    const other = await agent.swarm.engine.torrent({ digest, scope: 'other.example', size });
    expect(one.swarmId.equals(other.swarmId)).toBe(false);
    const pulls = [readAll(one, deadline()), readAll(other, deadline())];
    for (let index = 0; index < 4; index++) one.supply(index, new PieceMemory(pieceOf(blob, index)));
    await one.whenComplete(deadline());
    for (let index = 0; index < 4; index++) other.supply(index, new PieceMemory(pieceOf(blob, index)));
    expect(await Promise.all(pulls)).toEqual([digest, digest]);
    await other.whenComplete(deadline());
    expect(agent.store.usage()).toMatchObject({ blobs: 1, bytes: size, partialBytes: 0 });
    const third = { digest, scope: 'third.example', size };
    expect((await agent.swarm.engine.torrent({ ...third, trust: 'proved' })).complete).toBe(true);
    expect((await agent.swarm.engine.torrent(third)).complete).toBe(false);
  });

  it('of one registry is not given to who asks in the name of another, neither from disk nor by peers', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('a secret', 4 * PIECE);
    const request = { digest: digestOf(blob), scope: 'victim.example', size: blob.length };
    const origin = await fixture.member('origin');
    const holder = await fixture.member('agent');
    const seeding = await origin.swarm.engine.torrent(request);
    fixture.feed(seeding, blob);
    await readAll(await holder.swarm.engine.torrent(request), deadline());
    const pieces = [0, 1, 2, 3].map((index) => pieceOf(blob, index));
    seeding.batches.add(fixture.sign(request.digest, 'verified', blob.length, pieces));
    const claim = { ...request, scope: 'hostile.example' };
    const other = await fixture.member('agent');
    for (const member of [holder, other]) {
      const claimed = await member.swarm.engine.torrent(claim);
      const { port } = origin.swarm;
      claimed.addPeer({ host: '127.0.0.1', port, role: 'origin', scope: 'verified' });
      await expect(readAll(claimed, AbortSignal.timeout(1_500))).rejects.toThrow(/timeout/u);
      expect(claimed.pieces.table.held.count).toBe(0);
      claimed.batches.believe('verified');
      expect(await readAll(claimed, deadline())).toBe(request.digest);
    }
  });

  it('fetched alone takes nothing from peers, and mixes with no shared download of the same', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('alone', 4 * PIECE);
    const request = { digest: digestOf(blob), scope, size: blob.length };
    const origin = await fixture.member('origin');
    const seeding = await origin.swarm.engine.torrent(request);
    fixture.feed(seeding, blob, 0, 3);
    const agent = await fixture.member('agent');
    const shared = await agent.swarm.engine.torrent(request);
    const alone = await agent.swarm.engine.torrent({ ...request, alone: true });
    expect(alone).not.toBe(shared);
    await expect.poll(() => shared.pieces.table.held.count).toBe(3);
    expect(alone.pieces.table.held.count).toBe(0);
    for (let index = 0; index < 4; index++) alone.supply(index, new PieceMemory(pieceOf(blob, index)));
    expect(await readAll(alone, deadline())).toBe(request.digest);
    fixture.feed(seeding, blob, 3);
    expect(await readAll(shared, deadline())).toBe(request.digest);
    expect(alone.sources).toMatchObject({ peer: 0, origin: 0 });
  });
});

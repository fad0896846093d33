import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { IDLE_MS, LINGER_MS, QUIET_MS } from '#swarm/session/defaults.ts';
import { Readers } from '#swarm/session/readers.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { HandshakeError } from '#swarm/wire/errors.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { type Member, pieceOf, readAll, readBytes, SwarmFixture, TestClock } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const PIECES = 12;
const blob = deterministicBytes('read', PIECES * PIECE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);
const moment = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Scene {
  readonly fixture: SwarmFixture;
  readonly clock: TestClock;
  readonly agent: Member;
  readonly torrent: Torrent;
}

async function set(fixture: SwarmFixture): Promise<Scene> {
  const clock = new TestClock();
  const agent = await fixture.member('agent', { clock });
  const torrent = await agent.swarm.engine.torrent(request);
  const pieces = Array.from({ length: PIECES }, (_, index) => pieceOf(blob, index));
  torrent.batches.add(fixture.sign(request.digest, request.scope, blob.length, pieces));
  return { fixture, clock, agent, torrent };
}

describe('readers of one blob', () => {
  it('each get their bytes from where they are; one that goes away leaves the other its download', async () => {
    await using fixture = await SwarmFixture.start();
    const { agent, torrent } = await set(fixture);
    await using peer = await RawPeer.connect(agent.swarm.port, torrent.swarmId, { answer: honestly(blob) });
    peer.offer(PIECES, [0, 1, 8, 9]);
    const gone = new AbortController();
    const first = torrent.read(0, blob.length, gone.signal);
    const second = torrent.read(8 * PIECE, blob.length, deadline());
    expect((await first.next()).value).toEqual(blob.subarray(0, PIECE));
    expect((await second.next()).value).toEqual(blob.subarray(8 * PIECE, 9 * PIECE));
    await first.next();
    const waiting = first.next();
    gone.abort(new Error('the client went away'));
    await expect(waiting).rejects.toThrow('the client went away');
    for (let index = 0; index < PIECES; index++) peer.wire.have(index);
    const rest: Buffer[] = [];
    for await (const chunk of second) rest.push(Buffer.from(chunk));
    expect(Buffer.concat(rest).equals(blob.subarray(9 * PIECE))).toBe(true);
  });

  it('have the download stop a while after the last has left, and go on when one comes back', async () => {
    await using fixture = await SwarmFixture.start();
    const { agent, torrent, clock } = await set(fixture);
    await using peer = await RawPeer.connect(agent.swarm.port, torrent.swarmId, { answer: honestly(blob) });
    peer.offer(PIECES, [0, 1]);
    await readBytes(torrent, 0, 2 * PIECE, deadline());
    torrent.release();
    peer.wire.have(2);
    await expect.poll(() => torrent.pieces.table.held.count).toBe(3);
    clock.skip(LINGER_MS + 1);
    await expect.poll(() => peer.interested).toBe(false);
    const asked = peer.requests.length;
    for (let index = 0; index < PIECES; index++) peer.wire.have(index);
    await moment(300);
    expect(peer.requests).toHaveLength(asked);
    const again = await agent.swarm.engine.torrent(request);
    expect(again).toBe(torrent);
    expect(await readAll(again, deadline())).toBe(request.digest);
    expect(torrent.sources.peer).toBe(blob.length);
  });

  it('have the last bytes when the whole is there, and not before', async () => {
    await using fixture = await SwarmFixture.start();
    const { torrent } = await set(fixture);
    torrent.supply(PIECES - 1, new PieceMemory(pieceOf(blob, PIECES - 1)));
    let came = false;
    const end = readBytes(torrent, blob.length - 5, blob.length, deadline()).finally(() => (came = true));
    fixture.feed(torrent, blob, 1, PIECES - 1);
    await moment(100);
    expect(came).toBe(false);
    torrent.supply(0, new PieceMemory(pieceOf(blob, 0)));
    expect((await end).equals(blob.subarray(-5))).toBe(true);
  });

  it('are known by how long the longest waits', async () => {
    const readers = new Readers();
    using early = readers.open(1, deadline());
    using late = readers.open(5, deadline());
    expect(readers.longestWait(100)).toBe(0);
    const waits = [readers.wait(early, 100), readers.wait(late, 400)];
    expect(readers.longestWait(600)).toBe(500);
    readers.wake(1);
    await waits[0];
    expect(readers.longestWait(600)).toBe(200);
    readers.wake(5);
    await waits[1];
    expect(readers.longestWait(600)).toBe(0);
  });

  it('are cut when the process stops, in the middle of a download as of a stored blob', async () => {
    await using fixture = await SwarmFixture.start();
    const { agent, torrent } = await set(fixture);
    const loading = readAll(torrent, deadline());
    const stored = deterministicBytes('stored', 6 * PIECE);
    await (
      await agent.store.put(digestOf(stored), stored, {})
    ).written;
    const held = await agent.swarm.engine.torrent({
      scope: 'verified',
      digest: digestOf(stored),
      size: stored.length,
    });
    const reading = held.read(0, stored.length, deadline());
    await reading.next();
    const stopped = agent[Symbol.asyncDispose]();
    await expect(loading).rejects.toThrow(/ended before it was complete/u);
    await stopped;
    const rest = async (): Promise<void> => {
      for await (const _chunk of reading);
    };
    await expect(rest()).rejects.toThrow(/ended before it was complete/u);
  });
});

describe('torrents that nobody needs', () => {
  it('close their connections and then themselves, on both sides, and are there again when needed', async () => {
    await using fixture = await SwarmFixture.start();
    const clock = new TestClock();
    const members = [
      await fixture.member('origin', { clock }),
      await fixture.member('agent', { clock }),
    ] as const;
    const [origin, agent] = members;
    const seeding = await origin.swarm.engine.torrent(request);
    fixture.feed(seeding, blob);
    const torrent = await agent.swarm.engine.torrent(request);
    expect(await readAll(torrent, deadline())).toBe(request.digest);
    await Promise.all([torrent.whenComplete(deadline()), seeding.whenComplete(deadline())]);
    torrent.release();
    seeding.release();
    const connections = (): number[] => members.map(({ swarm }) => swarm.engine.status.connections);
    expect(connections()).toEqual([1, 1]);
    await moment(200);
    clock.skip(QUIET_MS);
    await expect.poll(connections).toEqual([0, 0]);
    clock.skip(IDLE_MS + LINGER_MS);
    await expect.poll(() => members.map(({ swarm }) => swarm.engine.status.torrents)).toEqual([0, 0]);
    expect(members.map(({ swarm }) => swarm.engine.status.seeded)).toEqual([1, 1]);
    const late = await fixture.member('agent');
    expect(await readAll(await late.swarm.engine.torrent(request), deadline())).toBe(request.digest);
  });

  it('let the store evict their blob, and nobody is told of it or served any more; one in use stays', async () => {
    await using fixture = await SwarmFixture.start();
    const { swarm, store } = await fixture.member('agent');
    const other = await fixture.member('agent');
    const [used, unused] = [Buffer.from('used'), Buffer.from('unused')];
    const ids = [used, unused].map((bytes) => verifiedSwarmId(digestOf(bytes)));
    for (const bytes of [used, unused]) {
      await swarm.engine.keep(digestOf(bytes), bytes, {}, (error) => expect.unreachable(error.message));
    }
    const replicas = async (): Promise<number[]> => {
      const names = ids.map((id) => id.toString('hex'));
      return [...(await other.swarm.announcer.replicas(names, deadline())).values()];
    };
    await expect.poll(replicas).toEqual([1, 1]);
    await using peer = await RawPeer.connect(swarm.port, ids[0]!);
    expect(await store.prune({ all: true })).toEqual({ blobs: 1, bytes: unused.length, inUse: 1 });
    await expect.poll(replicas).toEqual([1, 0]);
    expect(swarm.engine.status.seeded).toBe(1);
    await expect(RawPeer.connect(swarm.port, ids[1]!)).rejects.toThrow(HandshakeError);
    expect(peer.isClosed).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { MAX_UNSTORED_BYTES, MAX_UNWRITTEN_BYTES } from '#swarm/session/defaults.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { type WriteAt, writeAt } from '#swarm/store/data-file.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { RawPeer } from './raw-peer.ts';
import { type Member, pieceOf, readAll, readBytes, stuckDisk, SwarmFixture } from './swarm-fixture.ts';

const MIB = 1024 ** 2;
const PIECE = 256 * 1024;
const SIZE = 40 * MIB + 99;
const blob = deterministicBytes('too large', SIZE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: SIZE };
const deadline = (): AbortSignal => AbortSignal.timeout(18_000);

/** A disk that has room for so many bytes. */
function diskOf(bytes: number): WriteAt {
  let left = bytes;
  return (fd, data, position) => {
    left -= data.byteLength;
    if (left >= 0) return writeAt(fd, data, position);
    return Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
  };
}

/** Reads as a runtime does, and tells how many pieces were held at most meanwhile. */
async function readWatched(torrent: Torrent): Promise<{ digest: string; mostHeld: number }> {
  const chunks: Buffer[] = [];
  let mostHeld = 0;
  for await (const chunk of torrent.read(0, torrent.size, deadline())) {
    chunks.push(Buffer.from(chunk));
    mostHeld = Math.max(mostHeld, torrent.pieces.table.held.count);
  }
  return { digest: digestOf(Buffer.concat(chunks)), mostHeld };
}

async function seeded(fixture: SwarmFixture): Promise<Member> {
  const origin = await fixture.member('origin');
  fixture.feed(await origin.swarm.engine.torrent(request), blob);
  return origin;
}

describe('where the disk takes no more', () => {
  it('a reader gets everything, nothing is stored, and memory holds a bounded part of the blob', async () => {
    await using fixture = await SwarmFixture.start();
    await seeded(fixture);
    const agent = await fixture.member('agent', { writeAt: diskOf(6 * MIB) });
    const torrent = await agent.swarm.engine.torrent(request);
    const { digest, mostHeld } = await readWatched(torrent);
    expect(digest).toBe(request.digest);
    expect(mostHeld * PIECE).toBeLessThan(6 * MIB + MAX_UNSTORED_BYTES + PIECE);
    expect(agent.store.has(request.digest)).toBe(false);
    await agent[Symbol.asyncDispose]();
    expect(agent.store.usage().partialBytes).toBe(0);
  });

  it('whoever reads the same blob once more gets everything too', async () => {
    await using fixture = await SwarmFixture.start();
    await seeded(fixture);
    const agent = await fixture.member('agent', { writeAt: diskOf(6 * MIB) });
    const torrent = await agent.swarm.engine.torrent(request);
    expect(await readAll(torrent, deadline())).toBe(request.digest);
    expect(torrent.complete).toBe(true);
    expect(await readAll(torrent, deadline())).toBe(request.digest);
  });

  it('so do several at once, whose peers never said what they have got since', async () => {
    await using fixture = await SwarmFixture.start();
    const small = blob.subarray(0, 12 * MIB);
    const wish = { ...request, digest: digestOf(small), size: small.length };
    const origin = await fixture.member('origin');
    fixture.feed(await origin.swarm.engine.torrent(wish), small);
    const disks = [diskOf(5 * MIB), diskOf(5 * MIB), diskOf(5 * MIB), writeAt, writeAt];
    const agents = await Promise.all(disks.map((disk) => fixture.member('agent', { writeAt: disk })));
    const pullAll = (): Promise<string[]> =>
      Promise.all(
        agents.map(async ({ swarm }) => {
          const torrent = await swarm.engine.torrent(wish);
          torrent.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
          return readAll(torrent, deadline());
        }),
      );
    const all = agents.map(() => wish.digest);
    expect(await pullAll()).toEqual(all);
    expect(await pullAll()).toEqual(all);
  });

  it('so it is where the quota is too small from the start', async () => {
    await using fixture = await SwarmFixture.start();
    await seeded(fixture);
    const agent = await fixture.member('agent', { quotaBytes: 10 * MIB });
    const torrent = await agent.swarm.engine.torrent(request);
    const { digest, mostHeld } = await readWatched(torrent);
    expect(digest).toBe(request.digest);
    expect(mostHeld * PIECE).toBeLessThanOrEqual(MAX_UNSTORED_BYTES);
    await torrent.whenComplete(deadline());
    expect(agent.store.has(request.digest)).toBe(false);
  });

  it('two readers far apart both get their bytes, also the one that needs only the end', async () => {
    await using fixture = await SwarmFixture.start();
    await seeded(fixture);
    const agent = await fixture.member('agent', { quotaBytes: 10 * MIB });
    const torrent = await agent.swarm.engine.torrent(request);
    const [whole, end] = await Promise.all([
      readAll(torrent, deadline()),
      readBytes(torrent, SIZE - 3 * MIB, SIZE, deadline()),
    ]);
    expect(whole).toBe(request.digest);
    expect(end.equals(blob.subarray(SIZE - 3 * MIB))).toBe(true);
  });

  it('a reader of nothing but the end gets it once the whole has been verified', async () => {
    await using fixture = await SwarmFixture.start();
    await seeded(fixture);
    const agent = await fixture.member('agent', { quotaBytes: 10 * MIB });
    const torrent = await agent.swarm.engine.torrent(request);
    const end = await readBytes(torrent, SIZE - 10, SIZE, deadline());
    expect(end.equals(blob.subarray(SIZE - 10))).toBe(true);
    expect(torrent.complete).toBe(true);
  });

  it('what has to be fetched anew from upstream must be what was read before', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent', { quotaBytes: MIB });
    const torrent = await agent.swarm.engine.torrent(request);
    torrent.supply(0, new PieceMemory(pieceOf(blob, 0)));
    await readBytes(torrent, 0, PIECE, deadline());
    expect(torrent.pieces.table.held.has(0)).toBe(false);
    expect(() => torrent.supply(0, new PieceMemory(pieceOf(blob, 1)))).toThrow(/does not match itself/u);
    torrent.supply(0, new PieceMemory(pieceOf(blob, 0)));
    expect(torrent.pieces.table.held.has(0)).toBe(true);
  });

  it('upstream is read on from where it was, not from the start again and again', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent', { quotaBytes: MIB });
    const torrent = await agent.swarm.engine.torrent(request);
    const pull = readAll(torrent, deadline());
    let supplied = 0;
    for (let run = torrent.missing(0, 8); run; run = torrent.missing(0, 8)) {
      for (let index = run.first; index < run.first + run.count; index++)
        torrent.supply(index, new PieceMemory(pieceOf(blob, index)));
      supplied += run.count;
      await new Promise(setImmediate);
      if (torrent.complete) break;
    }
    expect(await pull).toBe(request.digest);
    expect(supplied).toBeLessThan(1.2 * (SIZE / PIECE));
  });
});

describe('where the disk is slow', () => {
  it('whoever supplies waits until it has caught up', async () => {
    await using fixture = await SwarmFixture.start();
    const disk = stuckDisk();
    const agent = await fixture.member('agent', { writeAt: disk.writeAt });
    const torrent = await agent.swarm.engine.torrent(request);
    let index = 0;
    for (; index * PIECE < MAX_UNWRITTEN_BYTES - PIECE; index++)
      torrent.supply(index, new PieceMemory(pieceOf(blob, index)));
    await torrent.caughtUp();
    torrent.supply(index, new PieceMemory(pieceOf(blob, index)));
    let caughtUp = false;
    const waiting = torrent.caughtUp().then(() => (caughtUp = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(caughtUp).toBe(false);
    disk.goOn();
    await waiting;
    expect(torrent.pieces.storage.unwrittenBytes).toBeLessThan(MAX_UNWRITTEN_BYTES);
  });

  it('all blobs together wait for it, but for one that gives it nothing to do', async () => {
    await using fixture = await SwarmFixture.start();
    const disk = stuckDisk();
    const agent = await fixture.member('agent', { writeAt: disk.writeAt });
    const scopes = Array.from({ length: 6 }, (_, number) => `registry-${number}.example`);
    const torrents = await Promise.all(
      scopes.map((scope) => agent.swarm.engine.torrent({ ...request, scope })),
    );
    const behind = (): boolean[] => torrents.map(({ pieces }) => pieces.storage.isBehind);
    const most = MAX_UNWRITTEN_BYTES / PIECE - 1;
    for (const torrent of torrents.slice(0, 4))
      for (let index = 0; index < most; index++) torrent.supply(index, new PieceMemory(pieceOf(blob, index)));
    expect(behind()).toEqual(torrents.map(() => false));
    for (let index = 0; index < 4; index++) torrents[4]!.supply(index, new PieceMemory(pieceOf(blob, index)));
    expect(behind()).toEqual([true, true, true, true, true, false]);
    await using stack = new AsyncDisposableStack();
    const [peer, freePeer] = await Promise.all(
      [torrents[0]!, torrents[5]!].map(async ({ swarmId }) =>
        stack.use(await RawPeer.connect(agent.swarm.port, swarmId)),
      ),
    );
    for (const each of [peer!, freePeer!]) each.offer(torrents[0]!.pieces.table.count);
    await expect.poll(() => freePeer!.requests.length).toBeGreaterThan(0);
    expect(peer!.requests).toHaveLength(0);
    disk.goOn();
    await Promise.all(torrents.map((torrent) => torrent.caughtUp()));
    expect(behind()).toEqual(torrents.map(() => false));
    await expect.poll(() => peer!.requests.length).toBeGreaterThan(0);
  });
});

import { expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { Distribution, MIN_GRANTS, WANT_GRACE_MS } from '#swarm/core/distribution.ts';
import { PieceTable } from '#swarm/core/piece-table.ts';
import { Bandwidth } from '#swarm/session/bandwidth.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { PieceStorage, WriteBacklog } from '#swarm/session/piece-storage.ts';
import { Uploads } from '#swarm/session/uploads.ts';
import { encodePieceIndex, EXTENSION } from '#swarm/wire/shoal-messages.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { RawPeer } from './raw-peer.ts';
import { PIECES, recordedSession } from './recorded-session.ts';
import { SwarmFixture, TestClock } from './swarm-fixture.ts';

it('shows a peer that has taken a piece the next one at once, not only when it looks again', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, heard } = await recordedSession(stack);
  const table = new PieceTable(PIECES * 256 * 1024);
  const pool = new PiecePool(0);
  const distribution = new Distribution<PeerSession>(table.count);
  const uploads = new Uploads(
    {
      table,
      storage: stack.use(
        new PieceStorage(
          {
            cache: new PieceCache({ bytes: 0, awaitedBytes: 0, awaitedMs: 0 }, () => 0),
            backlog: new WriteBacklog(),
            pool,
            now: () => 0,
            onFull: () => undefined,
          },
          { size: table.size, place: undefined },
        ),
      ),
      bandwidth: stack.use(new Bandwidth(undefined, () => 0)),
      distribution,
      now: () => 0,
      random: () => 0,
      peers: () => [peer],
      shareable: () => true,
      unreadable: () => undefined,
      sent: () => undefined,
    },
    'blob',
  );
  uploads.greet(peer);
  peer.peerInterested = true;
  uploads.interest(peer);
  for (let index = 0; index < table.count; index++) uploads.announce(index, true);
  await expect.poll(() => heard.count('have')).toBe(MIN_GRANTS);
  distribution.sent(peer, 0, 0);
  uploads.peerHas(peer, 0);
  await expect.poll(() => heard.count('have')).toBe(MIN_GRANTS + 1);
});

it('shows a piece by name to no second peer while it is being sent to the first', async () => {
  await using stack = new AsyncDisposableStack();
  const fixture = stack.use(await SwarmFixture.start());
  const clock = new TestClock();
  const origin = await fixture.member('origin', { clock });
  const blob = deterministicBytes('fetched slowly', 9 * 256 * 1024);
  const { engine, port } = origin.swarm;
  const torrent = await engine.torrent({
    digest: digestOf(blob),
    scope: 'registry.example',
    size: blob.length,
  });
  fixture.feed(torrent, blob);
  const [slow, other] = [
    await RawPeer.connect(port, torrent.swarmId),
    await RawPeer.connect(port, torrent.swarmId),
  ];
  stack.use(slow);
  stack.use(other);
  await expect.poll(() => slow.have.size + other.have.size).toBe(2 * MIN_GRANTS);
  const [first] = slow.have;
  const want = (index: number): void => other.wire.extension(EXTENSION.want, encodePieceIndex(index));
  clock.skip(WANT_GRACE_MS - 50);
  slow.wire.request({ index: first!, offset: 0, length: 16_384 });
  await expect.poll(() => slow.received.length).toBe(1);
  clock.skip(100);
  want(first!);
  want(8);
  await expect.poll(() => other.have.has(8)).toBe(true);
  expect(other.have.has(first!)).toBe(false);
  clock.skip(WANT_GRACE_MS);
  want(first!);
  await expect.poll(() => other.have.has(first!)).toBe(true);
});

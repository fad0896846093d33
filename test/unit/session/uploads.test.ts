import { expect, it } from 'vitest';
import { Distribution, MIN_GRANTS } from '#swarm/core/distribution.ts';
import { PieceTable } from '#swarm/core/piece-table.ts';
import { Bandwidth } from '#swarm/session/bandwidth.ts';
import { PieceCache } from '#swarm/session/piece-cache.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { PieceStorage } from '#swarm/session/piece-storage.ts';
import { Uploads } from '#swarm/session/uploads.ts';
import { PIECES, recordedSession } from './recorded-session.ts';

it('shows a peer that has taken a piece the next one at once, not only when it looks again', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, heard } = await recordedSession(stack);
  const table = new PieceTable(PIECES * 256 * 1024);
  const pool = new PiecePool(0);
  const uploads = new Uploads(
    {
      table,
      storage: stack.use(
        new PieceStorage(
          { cache: new PieceCache(0), pool, onFull: () => undefined },
          { key: 'blob', size: table.size, place: undefined },
        ),
      ),
      bandwidth: stack.use(new Bandwidth(undefined, () => 0)),
      distribution: new Distribution<PeerSession>(table.count),
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
  uploads.peerHas(peer, 0);
  await expect.poll(() => heard.count('have')).toBe(MIN_GRANTS + 1);
});

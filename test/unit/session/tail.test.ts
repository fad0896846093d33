import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { pieceOf, readAll, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const PIECES = 80;
/** What an agent lacks, that only a peer has from which nothing comes. */
const TAIL = [76, 77, 78, 79];
const blob = deterministicBytes('tail', PIECES * PIECE);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };

test('at the end of a blob an idle origin is asked for each piece that only a slow peer has', async () => {
  await using fixture = await SwarmFixture.start();
  const { swarm } = await fixture.member('agent');
  const torrent = await swarm.engine.torrent(request);
  const pieces = Array.from({ length: PIECES }, (_, index) => pieceOf(blob, index));
  torrent.batches.add(fixture.sign(request.digest, request.scope, blob.length, pieces));
  fixture.feed(torrent, blob, 0, TAIL[0]);
  await using slow = await RawPeer.connect(swarm.port, torrent.swarmId);
  slow.offer(PIECES, TAIL);
  await using origin = await RawPeer.connect(swarm.port, torrent.swarmId, {
    role: 'origin',
    answer: honestly(blob),
  });
  origin.wire.bitfield(new Uint8Array(PIECES / 8));
  origin.wire.unchoke();
  const shown = new Set<number>();
  // Nobody reads: for a reader that waits it would be asked anyway.
  const show = (): Set<number> => {
    for (const index of origin.wanted) {
      if (!shown.has(index)) origin.wire.have(index);
      shown.add(index);
    }
    return shown;
  };
  await expect.poll(show, { timeout: 10_000 }).toEqual(new Set(TAIL));
  expect(await readAll(torrent, AbortSignal.timeout(15_000))).toBe(request.digest);
});

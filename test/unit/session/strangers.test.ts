import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { SwarmFixture } from './swarm-fixture.ts';

const blob = deterministicBytes('for strangers', 300_000);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };

test('a stranger is answered by the info-hash of a .torrent that was given away, and by no swarm id', async () => {
  await using fixture = await SwarmFixture.start();
  const { swarm } = await fixture.member('origin');
  const torrent = await swarm.engine.torrent(request);
  fixture.feed(torrent, blob);
  await torrent.whenComplete(AbortSignal.timeout(10_000));
  const infoHash = Buffer.alloc(20, 9);
  expect(swarm.engine.accept(torrent.swarmId, true)).toBeDefined();
  expect(swarm.engine.accept(torrent.swarmId, false)).toBeUndefined();
  expect(swarm.engine.accept(infoHash, false)).toBeUndefined();
  swarm.engine.answerAlso(request.digest, infoHash);
  expect(swarm.engine.accept(infoHash, false)).toBeDefined();
  expect(swarm.engine.accept(torrent.swarmId, false)).toBeUndefined();
});

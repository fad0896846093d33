import { expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { readAll, SwarmFixture } from './swarm-fixture.ts';

const MIB = 1024 ** 2;
const scope = 'registry.example';
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);

it('a full store makes room for the next blob, though the last ones are still open to peers', async () => {
  await using fixture = await SwarmFixture.start();
  const origin = await fixture.member('origin');
  const agent = await fixture.member('agent', { quotaBytes: 10 * MIB });
  for (let number = 0; number < 6; number++) {
    const blob = deterministicBytes(`room ${number}`, 4 * MIB);
    const request = { digest: digestOf(blob), scope, size: blob.length };
    fixture.feed(await origin.swarm.engine.torrent(request), blob);
    const torrent = await agent.swarm.engine.torrent(request);
    torrent.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
    expect(await readAll(torrent, deadline())).toBe(request.digest);
    await torrent.whenComplete(deadline());
    torrent.release();
    expect(agent.store.has(request.digest)).toBe(true);
  }
});

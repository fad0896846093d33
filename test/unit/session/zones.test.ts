import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { readAll, SwarmFixture } from './swarm-fixture.ts';

const MIB = 1024 ** 2;
const deadline = (): AbortSignal => AbortSignal.timeout(20_000);

test('agents of one zone bring a blob over its border about once, each a part of it', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('zones', 24 * MIB + 77);
  const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
  const seed = await fixture.member('agent', { zone: 'a', limits: { uploadBytesPerSecond: 12 * MIB } });
  fixture.feed(await seed.swarm.engine.torrent(request), blob);
  const agents = await Promise.all([1, 2, 3, 4].map(() => fixture.member('agent', { zone: 'b' })));
  const digests = await Promise.all(
    agents.map(async ({ swarm }) => readAll(await swarm.engine.torrent(request), deadline())),
  );
  expect(digests).toEqual(agents.map(() => request.digest));
  const crossed = agents.map(({ counts }) => counts.fromBeyond / blob.length);
  expect(crossed.reduce((sum, share) => sum + share, 0)).toBeLessThan(1.3);
  expect(Math.max(...crossed)).toBeLessThan(0.6);
});

test('neighbours that are slow to fetch or to pass on keep nobody of their zone waiting for what they were to bring in', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('slow neighbours', 24 * MIB);
  const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
  const seed = await fixture.member('agent', { zone: 'a' });
  fixture.feed(await seed.swarm.engine.torrent(request), blob);
  const slow = [{ downloadBytesPerSecond: 256 * 1024 }, { uploadBytesPerSecond: 256 * 1024 }];
  const neighbours = await Promise.all(slow.map((limits) => fixture.member('agent', { zone: 'b', limits })));
  const given = new AbortController();
  const others = neighbours.map(async ({ swarm }) =>
    readAll(await swarm.engine.torrent(request), given.signal),
  );
  const agent = await fixture.member('agent', { zone: 'b' });
  expect(await readAll(await agent.swarm.engine.torrent(request), deadline())).toBe(request.digest);
  expect(neighbours[0]!.counts.verified).toBeLessThan(blob.length / 2);
  expect(neighbours[1]!.counts.sent).toBeLessThan(blob.length / 2);
  given.abort();
  await Promise.allSettled(others);
});

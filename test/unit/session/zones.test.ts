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

import { expect, test } from 'vitest';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, deadline, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

test('a blob that many ask two origins for is read from upstream once, and reaches them all', async () => {
  await using fixture = await OriginFixture.start();
  const blob = deterministicBytes('once', 12 * MIB + 77);
  const digest = addBlob(fixture.upstream, blob);
  const agents = await Promise.all([1, 2, 3].map(() => fixture.member()));
  const digests = await Promise.all(
    agents.map(async (agent, index) => {
      const descriptor = await fixture.describe(index % 2, digest);
      expect(descriptor).toMatchObject({ digest, size: blob.length, scope: fixture.upstream.host });
      return readDigest(await fixture.join(agent, descriptor));
    }),
  );
  expect(digests).toEqual([digest, digest, digest]);
  expect(fixture.upstreamBytes(digest)).toBe(blob.length);
  await until('all agents have stored it', () => agents.every(({ store }) => store.has(digest)));
});

test('the first piece is with an agent while the origin still reads', async () => {
  await using fixture = await OriginFixture.start({ upstream: { bytesPerSecond: MIB } });
  const blob = deterministicBytes('cut through', 6 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const agent = await fixture.member();
  const torrent = await fixture.join(agent, await fixture.describe(0, digest));
  const reader = torrent.read(0, blob.length, deadline());
  const first = await reader.next();
  expect(first.value).toEqual(blob.subarray(0, 256 * 1024));
  expect(fixture.upstreamBytes(digest)).toBeLessThan(blob.length);
  await reader.return(undefined);
});

test('a whole blob is announced as verified, with hashes that outlive the origin that signed them', async () => {
  await using fixture = await OriginFixture.start();
  const blob = deterministicBytes('verified', 5 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const [owner = 0] = fixture.order(digest);
  const early = await fixture.member();
  await readDigest(await fixture.join(early, await fixture.describe(owner, digest)));
  await until('the blob is stored', async () => (await fixture.describe(owner, digest)).scope === 'verified');
  await fixture.stopOrigin(0);
  await fixture.stopOrigin(1);
  const late = await fixture.member();
  const torrent = await late.engine.torrent({ digest, scope: 'verified', size: blob.length });
  expect(await readDigest(torrent)).toBe(digest);
  expect(torrent.sources).toMatchObject({ peer: blob.length, origin: 0 });
});

test('an origin that was started anew seeds what it holds, and asks upstream for nothing', async () => {
  await using fixture = await OriginFixture.start({ origins: 1 });
  const blob = deterministicBytes('again', 3 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const first = await fixture.member();
  await readDigest(await fixture.join(first, await fixture.describe(0, digest)));
  await first[Symbol.asyncDispose]();
  await fixture.stopOrigin(0);
  await fixture.startOrigin(0);
  const descriptor = await fixture.describe(0, digest);
  expect(descriptor.scope).toBe('verified');
  const second = await fixture.member();
  const torrent = await fixture.join(second, descriptor);
  expect(await readDigest(torrent)).toBe(digest);
  expect(torrent.sources.origin).toBe(blob.length);
  expect(fixture.upstreamBytes(digest)).toBe(blob.length);
});

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, deadline, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

const PIECE = MIB / 4;

test('when the owner dies in the middle of a read, the next origin goes on by Range with what the swarm lacks', async () => {
  await using fixture = await OriginFixture.start({ upstream: { bytesPerSecond: 8 * MIB } });
  const blob = deterministicBytes('take over', 16 * MIB + 99);
  const digest = addBlob(fixture.upstream, blob);
  const [owner = 0, next = 1] = fixture.order(digest);
  const agents = await Promise.all([fixture.member(), fixture.member()]);
  const descriptor = await fixture.describe(owner, digest);
  const torrents = await Promise.all(agents.map((agent) => fixture.join(agent, descriptor)));
  const reading = torrents.map((torrent) => readDigest(torrent));
  await until('a part is read', () => fixture.upstreamBytes(digest) > 6 * MIB);
  await fixture.stopOrigin(owner);
  const taken = await fixture.describe(next, digest);
  expect(taken.scope).toBe(fixture.upstream.host);
  for (const torrent of torrents) torrent.addPeer({ ...taken.peer, role: 'origin' });
  expect(await Promise.all(reading)).toEqual([digest, digest]);
  // What the owner had in hand when it died is lost with it: a piece or two.
  expect(fixture.upstreamBytes(digest) - blob.length).toBeLessThan(MIB);
  const ranges = fixture.upstream.log.entries.filter(({ method, range }) => method === 'GET' && range);
  expect(ranges.length).toBeGreaterThan(0);
  await until('the whole is stored', async () => (await fixture.describe(next, digest)).scope === 'verified');
});

test('an origin that takes over reads what the swarm lacks at once, though the swarm hands on the rest slowly', async () => {
  await using fixture = await OriginFixture.start({ upstream: { bytesPerSecond: 8 * MIB } });
  const blob = deterministicBytes('slow neighbours', 16 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const [owner = 0, next = 1] = fixture.order(digest);
  const agent = await fixture.member({ uploadBytesPerSecond: MIB / 4 });
  const torrent = await fixture.join(agent, await fixture.describe(owner, digest));
  const reading = readDigest(torrent);
  await until('a part is read', () => fixture.upstreamBytes(digest) > 8 * MIB);
  await fixture.stopOrigin(owner);
  const taken = await fixture.describe(next, digest);
  torrent.addPeer({ ...taken.peer, role: 'origin' });
  expect(await reading).toBe(digest);
  expect(fixture.upstreamBytes(digest) - blob.length).toBeLessThan(MIB);
  // The first half would have taken it half a minute.
  expect((await fixture.describe(next, digest)).scope).toBe(fixture.upstream.host);
});

test('an origin that was stopped in the middle of a read goes on where it stood', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { bytesPerSecond: 8 * MIB } });
  const blob = deterministicBytes('restart', 8 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  await fixture.describe(0, digest);
  await until('a part is read', () => fixture.upstreamBytes(digest) > 4 * MIB);
  await fixture.stopOrigin(0);
  await until('upstream is left alone', () => fixture.upstream.log.running.length === 0);
  const before = fixture.upstreamBytes(digest);
  await fixture.startOrigin(0);
  const agent = await fixture.member();
  expect(await readDigest(await fixture.join(agent, await fixture.describe(0, digest)))).toBe(digest);
  // One piece may have been half read.
  expect(fixture.upstreamBytes(digest) - before).toBeLessThan(blob.length - 3 * MIB);
});

test('an owner that comes back leaves the read to the origin that took it over', async () => {
  await using fixture = await OriginFixture.start({ upstream: { bytesPerSecond: 3 * MIB } });
  const blob = deterministicBytes('back', 8 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const [owner = 0, next = 1] = fixture.order(digest);
  await fixture.stopOrigin(owner);
  const agent = await fixture.member();
  const torrent = await fixture.join(agent, await fixture.describe(next, digest));
  const reading = readDigest(torrent);
  await sleep(500);
  await fixture.startOrigin(owner);
  const descriptor = await fixture.describe(owner, digest);
  expect(descriptor.peer.port).toBe(fixture.origin(next).peerPort);
  expect(await reading).toBe(digest);
  expect(fixture.upstreamBytes(digest)).toBe(blob.length);
});

test('a body that breaks again and again is read on by Range, no byte twice', async () => {
  await using fixture = await OriginFixture.start({ origins: 1 });
  const blob = deterministicBytes('cut', 6 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  fixture.upstream.faults.inject(
    { kind: 'cut', afterBytes: MIB + 5 },
    { route: 'blob', method: 'GET', times: 3 },
  );
  const agent = await fixture.member();
  const torrent = await fixture.join(agent, await fixture.describe(0, digest));
  expect(await readDigest(torrent, deadline())).toBe(digest);
  expect(fixture.upstreamBytes(digest)).toBe(blob.length);
});

test('a read that nobody waits for any more stops, and its pieces serve the next', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { bytesPerSecond: 4 * MIB } });
  const blob = deterministicBytes('left', 8 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  await fixture.describe(0, digest);
  await until('a part is read', () => fixture.upstreamBytes(digest) > 2 * MIB);
  fixture.ahead += 60_000;
  await until('upstream is left alone', () => fixture.upstream.log.running.length === 0);
  const before = fixture.upstreamBytes(digest);
  expect(before).toBeLessThan(blob.length);
  const agent = await fixture.member();
  expect(await readDigest(await fixture.join(agent, await fixture.describe(0, digest)))).toBe(digest);
  expect(fixture.upstreamBytes(digest) - before).toBeLessThan(blob.length - MIB);
});

test('a blob that no disk has room for still reaches the agents, once over the link', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, quota: '1MiB' });
  const blob = deterministicBytes('no room', 24 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const agent = await fixture.member();
  expect(await readDigest(await fixture.join(agent, await fixture.describe(0, digest)))).toBe(digest);
  expect(fixture.upstreamBytes(digest)).toBeLessThan(blob.length * 1.01);
});

test('a blob that no disk has room for is read once more for who comes when those who took it are gone', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, quota: '1MiB' });
  const blob = deterministicBytes('taken and gone', 24 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const early = await fixture.member();
  expect(await readDigest(await fixture.join(early, await fixture.describe(0, digest)))).toBe(digest);
  await early[Symbol.asyncDispose]();
  const late = await fixture.member();
  expect(await readDigest(await fixture.join(late, await fixture.describe(0, digest)))).toBe(digest);
});

test('an agent that is in the middle of such a blob gets the rest too when it is read once more for another', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, quota: '1MiB' });
  const blob = deterministicBytes('taken in part', 24 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const descriptor = await fixture.describe(0, digest);
  const slow = await fixture.member({ downloadBytesPerSecond: 4 * MIB });
  const torrent = await fixture.join(slow, descriptor);
  const reading = readDigest(torrent);
  const fast = await fixture.member();
  expect(await readDigest(await fixture.join(fast, descriptor))).toBe(digest);
  await fast[Symbol.asyncDispose]();
  expect(torrent.pieces.table.held.count).toBeLessThan(torrent.pieces.table.count);
  const late = await fixture.member();
  expect(await readDigest(await fixture.join(late, await fixture.describe(0, digest)))).toBe(digest);
  expect(await reading).toBe(digest);
});

test('an origin without room says when it has let go of what nobody has any more', async () => {
  await using fixture = await OriginFixture.start({
    origins: 1,
    quota: '1MiB',
    upstream: { bytesPerSecond: 4 * MIB },
  });
  const blob = deterministicBytes('half taken', 24 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const early = await fixture.member();
  const torrent = await fixture.join(early, await fixture.describe(0, digest));
  await until('a part is taken', () => torrent.pieces.table.held.count > 8);
  expect(await fixture.describe(0, digest)).not.toHaveProperty('hasGaps');
  await early[Symbol.asyncDispose]();
  await until('it is said', async () => (await fixture.describe(0, digest)).hasGaps === true);
});

test('what agents read while there was no origin is read and signed soon, not piece by piece after a wait for each', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, upstream: { bytesPerSecond: 4 * MIB } });
  const blob = deterministicBytes('unsigned', 10 * MIB);
  const digest = addBlob(fixture.upstream, blob);
  const early = await fixture.member();
  const torrent = await early.engine.torrent({ digest, scope: fixture.upstream.host, size: blob.length });
  for (let index = 0; index < 40; index++)
    torrent.supply(index, new PieceMemory(Buffer.from(blob.subarray(index * PIECE, (index + 1) * PIECE))));
  await torrent.whenComplete(deadline());
  const late = await fixture.member();
  const joined = await fixture.join(late, await fixture.describe(0, digest));
  // A wait for each would take two minutes.
  expect(await readDigest(joined, AbortSignal.timeout(40_000))).toBe(digest);
});

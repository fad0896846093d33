import { expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { DigestMismatchError } from '#swarm/session/errors.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { pieceOf, readAll, SwarmFixture } from './swarm-fixture.ts';

const MIB = 1024 ** 2;
const REGISTRY = 'registry.example';
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);

test('a blob that an origin reads reaches every agent at once, each piece leaving the origin about once', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('flash crowd', 20 * MIB + 4321);
  const request = { digest: digestOf(blob), scope: REGISTRY, size: blob.length };
  const origin = await fixture.member('origin');
  const seeding = await origin.swarm.engine.torrent(request);
  fixture.feed(seeding, blob);
  const agents = await Promise.all([1, 2, 3, 4].map(() => fixture.member('agent')));
  const digests = await Promise.all(
    agents.map(async ({ swarm }) => {
      const torrent = await swarm.engine.torrent(request);
      const digest = await readAll(torrent, deadline());
      await torrent.whenComplete(deadline());
      return digest;
    }),
  );
  expect(digests).toEqual(Array.from({ length: 4 }, () => request.digest));
  expect(origin.counts.sent / blob.length).toBeLessThan(1.5);
  for (const agent of agents) expect(agent.store.has(request.digest)).toBe(true);
});

test('a reader has the first bytes while the origin is still reading, and the last only when the whole is right', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('cut through', 4 * MIB);
  const request = { digest: digestOf(blob), scope: REGISTRY, size: blob.length };
  const origin = await fixture.member('origin');
  const agent = await fixture.member('agent');
  const seeding = await origin.swarm.engine.torrent(request);
  const leeching = await agent.swarm.engine.torrent(request);
  fixture.feed(seeding, blob, 0, 8);
  const reader = leeching.read(0, blob.length, deadline());
  const first = await reader.next();
  expect(first.value).toEqual(blob.subarray(0, 256 * 1024));
  expect(leeching.complete).toBe(false);
  fixture.feed(seeding, blob, 8);
  let bytes = first.value!.length;
  for await (const chunk of reader) bytes += chunk.length;
  expect(bytes).toBe(blob.length);
});

test('an agent that joins late has the blob from its neighbours alone when the origin is gone', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('late', 3 * MIB);
  const request = { digest: digestOf(blob), scope: REGISTRY, size: blob.length };
  const origin = await fixture.member('origin');
  fixture.feed(await origin.swarm.engine.torrent(request), blob);
  const early = await fixture.member('agent');
  await readAll(await early.swarm.engine.torrent(request), deadline());
  await origin[Symbol.asyncDispose]();
  const late = await fixture.member('agent');
  const torrent = await late.swarm.engine.torrent(request);
  expect(await readAll(torrent, deadline())).toBe(request.digest);
  expect(torrent.sources).toEqual({ cache: 0, peer: blob.length, origin: 0, upstream: 0 });
});

test('bytes that do not match the digest are never complete, and nothing of them is kept', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('lie', 2 * MIB);
  const request = { digest: digestOf('something else'), scope: REGISTRY, size: blob.length };
  const agent = await fixture.member('agent');
  const torrent = await agent.swarm.engine.torrent(request);
  const outcome = readAll(torrent, deadline());
  // No origin could sign what does not end in the digest.
  expect(() => fixture.feed(torrent, blob)).toThrow(DigestMismatchError);
  torrent.supply(7, new PieceMemory(pieceOf(blob, 7)));
  await expect(outcome).rejects.toThrow(/do not match that digest/u);
  expect(agent.store.has(request.digest)).toBe(false);
  await expect.poll(() => agent.store.usage().partialBytes).toBe(0);
  expect(agent.swarm.engine.poisoned(request.digest, REGISTRY)).toBe(true);
});

test('what was verified before a stop is not fetched again', async () => {
  await using fixture = await SwarmFixture.start();
  const blob = deterministicBytes('resume', 5 * MIB);
  const request = { digest: digestOf(blob), scope: REGISTRY, size: blob.length };
  const origin = await fixture.member('origin');
  const seeding = await origin.swarm.engine.torrent(request);
  fixture.feed(seeding, blob, 0, 15);
  const before = await fixture.member('agent');
  const first = await before.swarm.engine.torrent(request);
  for await (const _chunk of first.read(0, 15 * 256 * 1024, deadline()));
  await before[Symbol.asyncDispose]();
  const after = await fixture.member('agent', { directory: before.path });
  const second = await after.swarm.engine.torrent(request);
  second.addPeer({ host: '127.0.0.1', port: origin.swarm.port, role: 'origin' });
  fixture.feed(seeding, blob, 15);
  expect(await readAll(second, deadline())).toBe(request.digest);
  expect(second.sources.cache).toBe(15 * 256 * 1024);
  expect(after.counts.verified).toBe(blob.length - 15 * 256 * 1024);
});

import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import type { Digest } from '#registry/digest.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { type Member, pieceOf, readAll, SwarmFixture } from './swarm-fixture.ts';

const MIB = 1024 ** 2;
const PIECE = 256 * 1024;
const scope = 'registry.example';
/** What may pass in front of the rate: a burst, and a block for each connection on credit. */
const SLACK = MIB;
const deadline = (): AbortSignal => AbortSignal.timeout(12_000);

function requestOf(blob: Buffer): { digest: Digest; scope: string; size: number } {
  return { digest: digestOf(blob), scope, size: blob.length };
}

async function seed(origin: Member, fixture: SwarmFixture, blob: Buffer): Promise<Torrent> {
  const torrent = await origin.swarm.engine.torrent(requestOf(blob));
  fixture.feed(torrent, blob);
  return torrent;
}

describe('a limited bandwidth', () => {
  it('down is kept over time and shared evenly by two blobs', async () => {
    await using fixture = await SwarmFixture.start();
    const blobs = ['one', 'other'].map((name) => deterministicBytes(name, 4 * MIB));
    const origin = await fixture.member('origin');
    for (const blob of blobs) await seed(origin, fixture, blob);
    const rate = 2 * MIB;
    const agent = await fixture.member('agent', { limits: { downloadBytesPerSecond: rate } });
    const started = performance.now();
    const torrents = await Promise.all(blobs.map((blob) => agent.swarm.engine.torrent(requestOf(blob))));
    const first = await Promise.race(
      torrents.map(async (torrent) => {
        await readAll(torrent, deadline());
        return torrents.map(({ sources }) => sources.origin);
      }),
    );
    expect(Math.min(...first)).toBeGreaterThan(0.7 * Math.max(...first));
    await Promise.all(torrents.map((torrent) => torrent.whenComplete(deadline())));
    const seconds = (performance.now() - started) / 1_000;
    expect(agent.counts.verified).toBe(8 * MIB);
    expect(agent.counts.verified).toBeLessThanOrEqual(seconds * rate + SLACK);
  });

  it('up is kept over time, and what is asked for all comes', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('upload', 5 * MIB);
    const rate = 2 * MIB;
    const origin = await fixture.member('origin', { limits: { uploadBytesPerSecond: rate } });
    await seed(origin, fixture, blob);
    const started = performance.now();
    const agents = [await fixture.member('agent'), await fixture.member('agent')];
    const torrents = await Promise.all(agents.map(({ swarm }) => swarm.engine.torrent(requestOf(blob))));
    await Promise.all(torrents.map((torrent) => readAll(torrent, deadline())));
    const seconds = (performance.now() - started) / 1_000;
    expect(origin.counts.sent).toBeLessThanOrEqual(seconds * rate + SLACK);
    expect(origin.counts.sent).toBeLessThan(1.5 * blob.length);
  });

  it.each(['downloadBytesPerSecond', 'uploadBytesPerSecond'] as const)(
    'can be lifted while bytes wait for it (%s)',
    async (limit) => {
      await using fixture = await SwarmFixture.start();
      const blob = deterministicBytes('lifted', 8 * MIB);
      const slow = { limits: { [limit]: 64 * 1024 } };
      const origin = await fixture.member('origin', limit === 'uploadBytesPerSecond' ? slow : {});
      await seed(origin, fixture, blob);
      const agent = await fixture.member('agent', limit === 'downloadBytesPerSecond' ? slow : {});
      const torrent = await agent.swarm.engine.torrent(requestOf(blob));
      const pull = readAll(torrent, deadline());
      await expect.poll(() => torrent.sources.origin, { timeout: 10_000 }).toBeGreaterThan(0);
      expect(torrent.sources.origin).toBeLessThan(2 * MIB);
      for (const { swarm } of [origin, agent]) swarm.engine.setLimits({});
      expect(await pull).toBe(torrent.digest);
    },
  );

  it('can be set while bytes flow', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('set', 16 * MIB);
    const origin = await fixture.member('origin');
    await seed(origin, fixture, blob);
    const agent = await fixture.member('agent', { limits: { downloadBytesPerSecond: 4 * MIB } });
    const torrent = await agent.swarm.engine.torrent(requestOf(blob));
    await expect.poll(() => agent.counts.verified, { timeout: 5_000 }).toBeGreaterThan(0);
    agent.swarm.engine.setLimits({ downloadBytesPerSecond: 128 * 1024 });
    const [before, at] = [agent.counts.verified, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const seconds = (performance.now() - at) / 1_000;
    expect(agent.counts.verified - before).toBeLessThanOrEqual(seconds * 128 * 1024 + SLACK);
    torrent.release();
  });

  it('is not used up by peers that have nothing to give', async () => {
    await using fixture = await SwarmFixture.start();
    const blob = deterministicBytes('idle peers', 4 * PIECE);
    const agent = await fixture.member('agent', { limits: { downloadBytesPerSecond: 256 * 1024 } });
    const torrent = await agent.swarm.engine.torrent(requestOf(blob));
    const pieces = [0, 1, 2, 3].map((index) => pieceOf(blob, index));
    torrent.batches.add(fixture.sign(torrent.digest, scope, blob.length, pieces));
    await using idle = new AsyncDisposableStack();
    for (let count = 0; count < 8; count++) {
      const peer = idle.use(await RawPeer.connect(agent.swarm.port, torrent.swarmId));
      peer.offer(4, []);
    }
    const giver = idle.use(
      await RawPeer.connect(agent.swarm.port, torrent.swarmId, { answer: honestly(blob) }),
    );
    giver.offer(4);
    expect(await readAll(torrent, deadline())).toBe(torrent.digest);
  });
});

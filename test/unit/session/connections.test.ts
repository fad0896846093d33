import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { type Security, wireIdentity } from '#service/identity.ts';
import { HandshakeError } from '#swarm/wire/errors.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { RawPeer } from './raw-peer.ts';
import { readAll, SwarmFixture } from './swarm-fixture.ts';
import { withKeys } from '../../support/with-keys.ts';

const PIECE = 256 * 1024;
const blob = deterministicBytes('connections', 9 * PIECE + 1);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);
const moment = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const newKey = (): Security => withKeys(randomBytes(32));

describe('two peers', () => {
  it('that dial each other at the same time keep exactly one connection, and it carries the blob', async () => {
    await using fixture = await SwarmFixture.start();
    const [a, b] = [await fixture.member('agent'), await fixture.member('agent')];
    const torrents = [await a.swarm.engine.torrent(request), await b.swarm.engine.torrent(request)] as const;
    for (let round = 0; round < 5; round++) {
      torrents[0].addPeer({ host: '127.0.0.1', port: b.swarm.port, role: 'agent' });
      torrents[1].addPeer({ host: '127.0.0.1', port: a.swarm.port, role: 'agent' });
      await moment(20);
    }
    await expect.poll(() => torrents.map(({ connections }) => connections.size)).toEqual([1, 1]);
    await moment(1_500);
    expect(torrents.map(({ connections }) => connections.size)).toEqual([1, 1]);
    expect([a, b].map(({ swarm }) => swarm.engine.status.connections)).toEqual([1, 1]);
    const pull = readAll(torrents[1], deadline());
    fixture.feed(torrents[0], blob);
    expect(await readAll(torrents[0], deadline())).toBe(request.digest);
    expect(await pull).toBe(request.digest);
    expect(torrents[1].sources).toMatchObject({ peer: blob.length });
  });

  it('that are one and the same do not connect', async () => {
    await using fixture = await SwarmFixture.start();
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent(request);
    torrent.addPeer({ host: '127.0.0.1', port: agent.swarm.port, role: 'agent' });
    await moment(300);
    expect(torrent.connections.size).toBe(0);
  });
});

describe('a swarm with a cluster key', () => {
  it('brings a blob from an origin through one agent to the other, every connection proven', async () => {
    await using fixture = await SwarmFixture.start(newKey());
    const origin = await fixture.member('origin');
    fixture.feed(await origin.swarm.engine.torrent(request), blob);
    const agents = [await fixture.member('agent'), await fixture.member('agent')];
    for (const { swarm, store } of agents) {
      const torrent = await swarm.engine.torrent(request);
      expect(await readAll(torrent, deadline())).toBe(request.digest);
      expect([...torrent.connections.values()].every(({ wire }) => wire.member)).toBe(true);
      await torrent.whenComplete(deadline());
      expect(store.has(request.digest)).toBe(true);
    }
    await origin[Symbol.asyncDispose]();
    const late = await fixture.member('agent');
    expect(await readAll(await late.swarm.engine.torrent(request), deadline())).toBe(request.digest);
  });

  it('gives nothing to who has another key or none, whoever of the two calls', async () => {
    await using fixture = await SwarmFixture.start(newKey());
    const holder = await fixture.member('agent');
    const held = await holder.swarm.engine.torrent(request);
    fixture.feed(held, blob);
    await held.whenComplete(deadline());
    for (const security of [newKey(), { mode: 'off' } as const]) {
      const outsider = await fixture.member('agent', { security });
      const torrent = await outsider.swarm.engine.torrent(request);
      for (const role of ['agent', 'origin'] as const) {
        torrent.addPeer({ host: '127.0.0.1', port: holder.swarm.port, role });
        held.addPeer({ host: '127.0.0.1', port: outsider.swarm.port, role });
        await moment(300);
      }
      expect(torrent.connections.size).toBe(0);
      expect(torrent.sources).toEqual({ cache: 0, peer: 0, origin: 0, upstream: 0 });
    }
    expect(held.connections.size).toBe(0);
    const member = wireIdentity(fixture.security).membershipKeys;
    await using peer = await RawPeer.connect(holder.swarm.port, held.swarmId, { identity: member });
    expect(peer.isClosed).toBe(false);
    await expect(RawPeer.connect(holder.swarm.port, held.swarmId)).rejects.toThrow(HandshakeError);
  });
});

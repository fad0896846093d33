import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import type { Security } from '#service/identity.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { withKeys } from '../../support/with-keys.ts';
import { IdentityFiles, type Subject } from '../service/identity-files.ts';
import { type Member, readAll, SwarmFixture } from './swarm-fixture.ts';

const blob = deterministicBytes('identity', 3 * 1024 * 1024 + 5);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const deadline = (): AbortSignal => AbortSignal.timeout(20_000);

async function mtls(subject: Subject, name?: string): Promise<{ files: IdentityFiles; security: Security }> {
  const files = await IdentityFiles.create();
  onTestFinished(() => files[Symbol.asyncDispose]());
  await files.put(subject, subject === 'impostor' ? 'other-ca' : 'ca');
  return { files, security: files.mtls(name) };
}

async function seed(fixture: SwarmFixture, role: 'agent' | 'origin', security?: Security): Promise<Member> {
  const member = await fixture.member(role, security === undefined ? {} : { security });
  fixture.feed(await member.swarm.engine.torrent(request), blob);
  return member;
}

/** The pull of one who has only this peer. */
async function pullFrom(member: Member, from: Member, role: 'agent' | 'origin'): Promise<string> {
  const torrent = await member.swarm.engine.torrent(request);
  torrent.addPeer({ host: '127.0.0.1', port: from.swarm.port, role });
  return readAll(torrent, deadline());
}

test.each(['agent', 'origin'] as const)(
  'with certificates, pieces come from an %s over TLS',
  async (role) => {
    await using fixture = await SwarmFixture.start((await mtls('member')).security);
    const from = await seed(fixture, role);
    const agent = await fixture.member('agent', { security: (await mtls('renewed')).security });
    expect(await pullFrom(agent, from, role)).toBe(request.digest);
  },
);

test.each([
  ['of another authority', 'impostor', undefined],
  ['for another name', 'outsider', 'web.example'],
] as const)(
  'who has a certificate %s gets no piece, whoever of the two calls',
  async (_what, subject, name) => {
    await using fixture = await SwarmFixture.start((await mtls('member')).security);
    const from = await seed(fixture, 'agent');
    const outsider = await fixture.member('agent', { security: (await mtls(subject, name)).security });
    const torrent = await outsider.swarm.engine.torrent(request);
    const held = await from.swarm.engine.torrent(request);
    torrent.addPeer({ host: '127.0.0.1', port: from.swarm.port, role: 'agent' });
    held.addPeer({ host: '127.0.0.1', port: outsider.swarm.port, role: 'agent' });
    await expect(readAll(torrent, AbortSignal.timeout(1_000))).rejects.toThrow(/aborted/u);
    expect([torrent.connections.size, held.connections.size, torrent.sources.peer]).toEqual([0, 0, 0]);
  },
);

test('a listener takes up a renewed certificate: who trusts it goes on pulling', async () => {
  const { files, security } = await mtls('member');
  await using fixture = await SwarmFixture.start(security);
  const from = await seed(fixture, 'agent');
  await files.put('renewed');
  await expect.poll(() => files.lines.join()).toContain('identity read again');
  const agent = await fixture.member('agent', { security: (await mtls('member')).security });
  expect(await pullFrom(agent, from, 'agent')).toBe(request.digest);
});

const [OLD, NEW] = [randomBytes(32), randomBytes(32)];

test.each([
  ['the dialer is ahead', [NEW, OLD], [OLD, NEW]],
  ['the listener is ahead', [OLD, NEW], [NEW, OLD]],
  ['the dialer has not begun', [OLD], [OLD, NEW]],
  ['the listener has not begun', [OLD, NEW], [OLD]],
  ['the dialer is done', [NEW], [NEW, OLD]],
  ['the listener is done', [NEW, OLD], [NEW]],
])(
  'while the cluster key is rotated and %s, agents pull from agents and origins',
  async (_what, own, theirs) => {
    for (const role of ['agent', 'origin'] as const) {
      await using fixture = await SwarmFixture.start(withKeys(...theirs));
      const from = await seed(fixture, role);
      const agent = await fixture.member('agent', { security: withKeys(...own) });
      expect({ role, digest: await pullFrom(agent, from, role) }).toEqual({ role, digest: request.digest });
    }
  },
);

test.each([
  ['agent', 'dialer'],
  ['agent', 'listener'],
  ['origin', 'dialer'],
  ['origin', 'listener'],
] as const)('a wire to an %s ends when the %s takes its key out', async (role, who) => {
  const keys = { dialer: [OLD], listener: [OLD] };
  const of = (side: keyof typeof keys): Security => ({ mode: 'cluster-key', keys: () => keys[side] });
  await using fixture = await SwarmFixture.start(of('listener'));
  const listener = await fixture.member(role);
  const dialer = await fixture.member('agent', { security: of('dialer') });
  const [held, wanted] = [
    await listener.swarm.engine.torrent(request),
    await dialer.swarm.engine.torrent(request),
  ];
  wanted.addPeer({ host: '127.0.0.1', port: listener.swarm.port, role });
  const connections = (): number[] => [held.connections.size, wanted.connections.size];
  await expect.poll(connections).toEqual([1, 1]);
  keys[who] = [NEW];
  await expect.poll(connections, { timeout: 5000 }).toEqual([0, 0]);
});

test.each(['agent', 'origin'] as const)(
  'a pull from an %s whose wire proved the old key goes on when that is taken out',
  async (role) => {
    let keys = [OLD, NEW];
    const security: Security = { mode: 'cluster-key', keys: () => keys };
    await using fixture = await SwarmFixture.start(security);
    const from = await fixture.member(role);
    const agent = await fixture.member('agent', { security });
    const held = await from.swarm.engine.torrent(request);
    const pulled = pullFrom(agent, from, role);
    await expect.poll(() => held.connections.size).toBe(1);
    const [wire] = held.connections.values();
    keys = [NEW];
    await expect.poll(() => [...held.connections.values()].includes(wire!), { timeout: 5000 }).toBe(false);
    fixture.feed(held, blob);
    expect(await pulled).toBe(request.digest);
  },
);

import * as fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';

import { clusterDispatcher } from '#service/http-client.ts';
import { MAX_SWARMS_PER_MESSAGE } from '#swarm/announce/messages.ts';

import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { DIGEST, hexId, runTracker } from './running-tracker.ts';
import type { TestTracker } from './running-tracker.ts';
import { withKeys } from '../../support/with-keys.ts';

const SELF = { role: 'agent', port: 29_502, topology: {} } as const;

/** One member of the cluster, as plain requests. */
function memberOf(tracker: TestTracker, self: object = {}) {
  const peerId = hexId();
  const session = hexId(16);
  let sequence = 0;
  return {
    peerId,
    async announce(change: object = {}, over: object = {}) {
      const first = sequence === 0 ? { self: { ...SELF, ...self } } : {};
      const message = { peerId, session, sequence, ...first, ...change, ...over };
      const { status, body } = await tracker.post('/v1/announce', message);
      if (status === 200) sequence++;
      return { status, body };
    },
  };
}

function joins(count: number) {
  return Array.from({ length: count }, () => ({ swarm: hexId(), complete: true, want: 0, digest: DIGEST }));
}

describe('a tracker', () => {
  it('tells members of each other, at the address they give or are seen at', async () => {
    await using tracker = await runTracker();
    const swarm = hexId();
    const first = memberOf(tracker, { host: 'node-1.test', topology: { node: 'n1' } });
    const second = memberOf(tracker);
    const join = { join: [{ swarm, complete: true, want: 10 }] };
    const alone = { swarm, peers: [], complete: 0, incomplete: 0, aliases: [] };
    expect((await first.announce(join)).body).toEqual({ intervalMs: 30_000, swarms: [alone] });
    await second.announce({ join: [{ swarm, complete: false, want: 0 }] });
    const named = { port: 29_502, role: 'agent' };
    expect((await second.announce({ more: [{ swarm, want: 5 }] })).body).toEqual({
      intervalMs: 30_000,
      swarms: [
        {
          ...alone,
          complete: 1,
          peers: [{ ...named, id: first.peerId, host: 'node-1.test', complete: true }],
        },
      ],
    });
    await second.announce({ leave: [swarm] });
    const third = memberOf(tracker);
    await third.announce({ join: [{ swarm, complete: false, want: 0 }] });
    expect((await first.announce({ more: [{ swarm, want: 5 }] })).body).toEqual({
      intervalMs: 30_000,
      swarms: [
        {
          ...alone,
          incomplete: 1,
          peers: [{ ...named, id: third.peerId, host: '127.0.0.1', complete: false }],
        },
      ],
    });
    const asked = { peerId: first.peerId, swarms: [swarm, hexId()] };
    expect((await tracker.post('/v1/replicas', asked)).body).toEqual({ counts: [0, 0] });
    await first.announce({}, { bye: true });
    expect(await tracker.metric('members')).toBe(2);
  });

  it('takes a message again, and asks for all of it when one is missing or the session is not known', async () => {
    await using tracker = await runTracker();
    const member = memberOf(tracker);
    await member.announce({ join: [{ swarm: hexId(), complete: true, want: 0 }] });
    expect((await member.announce()).body).toEqual({ intervalMs: 30_000 });
    expect((await member.announce({}, { sequence: 1 })).body).toEqual({ intervalMs: 30_000 });
    const resync = { intervalMs: 30_000, resync: true };
    expect((await member.announce({}, { sequence: 3 })).body).toEqual(resync);
    expect((await member.announce({}, { sequence: 2, session: hexId(16) })).body).toEqual(resync);
    expect((await member.announce({}, { sequence: 2, peerId: hexId() })).body).toEqual(resync);
    expect((await member.announce({}, { sequence: 2 })).body).toEqual({ intervalMs: 30_000 });
    expect(await tracker.metric('announces_total{kind="resync"}')).toBe(3);
    expect(await tracker.metric('announces_total{kind="heartbeat"}')).toBe(3);
    expect(await tracker.metric('memberships')).toBe(1);
  });

  it('forgets who is silent for the timeout, with what it held', async () => {
    const clock = { now: 0 };
    await using tracker = await runTracker({}, { now: () => clock.now });
    const member = memberOf(tracker);
    await member.announce({ join: [{ swarm: hexId(), complete: true, want: 0 }] });
    await tracker.post('/v1/leases', { peerId: member.peerId, digest: DIGEST, scope: 'verified' });
    clock.now = 74_999;
    await expect.poll(() => tracker.metric('expired_total{kind="lease"}')).toBe(1);
    expect(await tracker.metric('members')).toBe(1);
    clock.now = 75_000;
    await expect.poll(() => tracker.metric('members')).toBe(0);
    expect(await tracker.metric('swarms')).toBe(0);
    expect(await tracker.metric('expired_total{kind="member"}')).toBe(1);
    expect((await member.announce()).body).toMatchObject({ resync: true });
  });

  it('refuses what it has no room for and says so', async () => {
    await using tracker = await runTracker({}, { limits: { maxMembers: 1, maxSwarms: 1 } });
    const member = memberOf(tracker);
    const [kept, refused] = [hexId(), hexId()];
    const join = [kept, refused].map((swarm) => ({ swarm, complete: true, want: 1 }));
    const { body } = await member.announce({ join });
    expect(body).toMatchObject({
      refused: [{ swarm: refused, reason: 'too many swarms' }],
      swarms: [{ swarm: kept }],
    });
    const other = await memberOf(tracker).announce();
    expect(other).toMatchObject({ status: 503, body: { errors: [{ code: 'TOOMANYREQUESTS' }] } });
    expect(await tracker.metric('refused_total{reason="too many members"}')).toBe(1);
  });

  it('leases upstream reads, and takes them back', async () => {
    await using tracker = await runTracker({ leases: { perBlob: 1, ttlMs: 60_000 } });
    const ask = (peerId: string, method?: 'DELETE') =>
      tracker.post('/v1/leases', { peerId, digest: DIGEST, scope: 'registry.test' }, method);
    const [a, b] = [hexId(), hexId()];
    expect((await ask(a)).body).toEqual({ granted: true, ttlMs: 60_000, retryAfterMs: 0 });
    expect((await ask(b)).body).toEqual({ granted: false, ttlMs: 0, retryAfterMs: 3000, waiting: 1 });
    expect(await ask(a, 'DELETE')).toEqual({ status: 204, body: undefined });
    expect((await ask(b)).body).toMatchObject({ granted: true });
    expect(await tracker.metric('leases')).toBe(1);
  });

  it('takes 4,096 swarms in one message and no more', async () => {
    await using tracker = await runTracker();
    expect((await memberOf(tracker).announce({ join: joins(MAX_SWARMS_PER_MESSAGE) })).status).toBe(200);
    expect((await memberOf(tracker).announce({ join: joins(MAX_SWARMS_PER_MESSAGE + 1) })).status).toBe(400);
    expect((await tracker.post('/v1/announce', `"${'x'.repeat(3_000_000)}"`)).status).toBe(413);
    expect(await tracker.metric('memberships')).toBe(MAX_SWARMS_PER_MESSAGE);
  });

  it('answers malformed announces by 400 and goes on', async () => {
    await using tracker = await runTracker();
    const valid = { peerId: hexId(), session: hexId(16), sequence: 0, self: SELF };
    const wrong = fc.constantFrom<object>(
      { peerId: 'short' },
      { session: 5 },
      { sequence: -1 },
      { sequence: 1 },
      { self: undefined },
      { self: { ...SELF, port: 0 } },
      { self: { ...SELF, host: 'a b' } },
      { self: { ...SELF, role: 'stranger' } },
      { self: { ...SELF, topology: { zone: 'z'.repeat(300) } } },
      { join: [{ swarm: hexId(), complete: 1, want: 0 }] },
      { join: [{ swarm: hexId(), complete: true, want: 201 }] },
      { join: [{ swarm: hexId().toUpperCase().replace(/^./, 'F'), complete: true, want: 0 }] },
      { leave: [7] },
      { alias: [{ swarm: hexId(), infoHash: hexId(), digest: 'md5:1' }] },
    );
    const body = fc.oneof(
      wrong.map((part) => JSON.stringify({ ...valid, ...part })),
      fc.json().filter((text) => !text.startsWith('{"peerId"')),
      fc.constantFrom('', '{', 'null'),
    );
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        const { status, body: answer } = await tracker.post('/v1/announce', text);
        expect([status, answer]).toMatchObject([400, { errors: [{ code: 'UNSUPPORTED' }] }]);
      }),
      { numRuns: 60 },
    );
    expect((await tracker.post('/v1/announce', valid)).status).toBe(200);
    expect(await tracker.metric('members')).toBe(1);
  });

  it('answers holders of the cluster key and nobody else', async () => {
    await using directory = await temporaryDirectory('tracker');
    const key = randomBytes(32);
    const clusterKeyFile = directory.join('key');
    await writeFile(clusterKeyFile, key.toString('base64'));
    await using tracker = await runTracker({ security: 'cluster-key', clusterKeyFile });
    const ask = (secret: Buffer) => ({
      dispatcher: clusterDispatcher(withKeys(secret)),
      request: {
        origin: `https://${tracker.running.address}`,
        path: '/v1/replicas',
        method: 'POST',
      } as const,
    });
    const content = {
      headers: { 'content-type': 'application/json' },
      body: `{"peerId":"${hexId()}","swarms":[]}`,
    };
    const member = ask(key);
    expect((await member.dispatcher.request({ ...member.request, ...content })).statusCode).toBe(200);
    const other = ask(randomBytes(32));
    await expect(other.dispatcher.request({ ...other.request, ...content })).rejects.toThrow(
      /alert|closed|ECONNRESET|disconnected/,
    );
    await Promise.all([member.dispatcher.destroy(), other.dispatcher.destroy()]);
    await expect(tracker.post('/v1/replicas', content.body)).rejects.toThrow(
      /other side closed|ECONNRESET|Parse/,
    );
    const plainTls = new Promise((resolve, reject) => {
      httpsRequest(`https://${tracker.running.address}/`, { rejectUnauthorized: false }, resolve)
        .on('error', reject)
        .end();
    });
    await expect(plainTls).rejects.toThrow(/alert|handshake/);
  });

  it('has a status of its own, and stops', async () => {
    const tracker = await runTracker();
    const { address, statusAddress } = tracker.running;
    const metrics = await (await fetch(`http://${statusAddress}/metrics`)).text();
    expect(metrics).toContain('shoal_tracker_swarms 0');
    expect((await fetch(`http://${statusAddress}/readyz`)).status).toBe(200);
    expect([tracker.running.strangersAddress, tracker.running.udpPort]).toEqual([undefined, undefined]);
    await tracker[Symbol.asyncDispose]();
    const [host, port] = address.split(':');
    const refused = new Promise((resolve, reject) => {
      connect(Number(port), host).on('connect', resolve).on('error', reject);
    });
    await expect(refused).rejects.toThrow('ECONNREFUSED');
  });

  it('that cannot have a port says which, and leaves none open', async () => {
    await using first = await runTracker({ strangers: { listen: '127.0.0.1:0' } });
    const taken = first.running.strangersAddress!;
    await expect(runTracker({ strangers: { listen: taken } })).rejects.toThrow(`cannot listen at ${taken}`);
  });
});

/** A member's first announce, which is taken however often it comes. */
function firstAnnounce(peerId: string): object {
  return { peerId, session: hexId(16), sequence: 0, self: SELF };
}

it('tells a member that announces without end to wait, and serves the others', async () => {
  await using tracker = await runTracker({}, { now: () => 0 });
  const [busy, calm] = [hexId(), hexId()];
  const statuses: number[] = [];
  for (let times = 0; times < 210; times += 1)
    statuses.push((await tracker.post('/v1/announce', firstAnnounce(busy))).status);
  expect(new Set(statuses.slice(0, 200))).toEqual(new Set([200]));
  expect(new Set(statuses.slice(200))).toEqual(new Set([503]));
  expect((await tracker.post('/v1/announce', firstAnnounce(calm))).status).toBe(200);
  expect(await tracker.metric('refused_total{reason="too many announces"}')).toBe(10);
});

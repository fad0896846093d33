import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { Agent } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fixedMembers } from '#service/discovery/member-list.ts';

import { createLogger } from '#service/logger.ts';
import { digestOf } from '#registry/digest.ts';
import { Announcer, TrackerUnreachableError } from '#swarm/announce/announcer.ts';
import type { AnnouncerParts, AnnouncerSelf, SwarmPeers } from '#swarm/announce/announcer.ts';

import { hexId, runTracker } from '../tracker/running-tracker.ts';

const INTERVAL = 400;
const QUICK = { announceIntervalMs: INTERVAL, memberTimeoutMs: 1000 };
const DIGEST = digestOf('a blob');

function announcer(
  trackers: readonly string[],
  self: Partial<AnnouncerSelf> = {},
  parts: Partial<AnnouncerParts> = {},
): Announcer {
  const dispatcher = new Agent();
  const made = new Announcer(
    {
      dispatcher,
      trackers: fixedMembers(trackers),
      secure: false,
      onPlace: () => undefined,
      random: Math.random,
      now: () => performance.now(),
      logger: createLogger('test', { level: 'silent' }),
      ...parts,
    },
    { peerId: hexId(), role: 'agent', port: 29_502, topology: {}, ...self },
  );
  onTestFinished(async () => {
    await made[Symbol.asyncDispose]();
    await dispatcher.destroy();
  });
  return made;
}

function collect() {
  const answers: SwarmPeers[] = [];
  return { answers, onPeers: (peers: SwarmPeers) => void answers.push(peers) };
}

const none = () => {};

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('an announcer', () => {
  it('warns of a tracker that does not answer not right after the start, and later once', async () => {
    const told: string[] = [];
    const tell = (level: string) => () => void told.push(level);
    const logger = { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
    let skew = 0;
    const lonely = announcer(['127.0.0.1:1'], {}, { logger, now: () => performance.now() + skew });
    lonely.join(hexId(), { complete: false, want: 5 }, none);
    await expect.poll(() => told.length, { timeout: 10_000 }).toBeGreaterThan(1);
    expect(new Set(told)).toEqual(new Set(['info', 'debug']));
    skew = 31_000;
    const before = told.length;
    await expect.poll(() => told.length, { timeout: 10_000 }).toBeGreaterThan(before + 1);
    expect(told.filter((level) => level === 'warn')).toHaveLength(1);
  });

  it('warns from the start, and once, of a tracker whose answers are of no use', async () => {
    const told: string[] = [];
    const tell = (level: string) => () => void told.push(level);
    const logger = { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
    const server = createServer((_request, response) => response.writeHead(404).end());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const lonely = announcer([`127.0.0.1:${portOf(server)}`], {}, { logger });
    lonely.join(hexId(), { complete: false, want: 5 }, none);
    await expect.poll(() => told.length, { timeout: 10_000 }).toBeGreaterThan(1);
    expect(told.slice(0, 2)).toEqual(['warn', 'debug']);
  });

  it('is told of who is in its swarms, and of more when it asks', async () => {
    await using tracker = await runTracker(QUICK);
    const swarm = hexId();
    const seed = announcer([tracker.running.address], { peerId: hexId(), host: 'seed.test', role: 'origin' });
    seed.join(swarm, { complete: true, want: 5, digest: DIGEST }, none);
    await expect.poll(() => tracker.metric('memberships')).toBe(1);
    const { answers, onPeers } = collect();
    const agent = announcer([tracker.running.address]);
    const membership = agent.join(swarm, { complete: false, want: 5 }, onPeers);
    await expect.poll(() => answers.length).toBe(1);
    expect(answers[0]).toMatchObject({ complete: 1, incomplete: 0 });
    expect(answers[0]!.peers).toMatchObject([
      { host: 'seed.test', port: 29_502, role: 'origin', complete: true },
    ]);
    membership.more(5);
    await expect.poll(() => answers.length, { timeout: 3000 }).toBe(2);
    membership.update({ complete: true });
    const replicas = async () => (await seed.replicas([swarm], AbortSignal.timeout(5000))).get(swarm);
    await expect.poll(replicas).toBe(1);
    membership.leave();
    await expect.poll(replicas).toBe(0);
  });

  it('is one member of a swarm that several of the process are in, complete if one of them is', async () => {
    await using tracker = await runTracker(QUICK);
    const swarm = hexId();
    const [agent, other] = [announcer([tracker.running.address]), announcer([tracker.running.address])];
    const replicas = async () => (await other.replicas([swarm], AbortSignal.timeout(5000))).get(swarm);
    const [first, second] = [collect(), collect()];
    const download = agent.join(swarm, { complete: false, want: 5, digest: DIGEST }, first.onPeers);
    const seed = agent.join(swarm, { complete: true, want: 0, digest: DIGEST }, second.onPeers);
    await expect.poll(replicas).toBe(1);
    expect([first.answers.length, second.answers.length]).toEqual([1, 1]);
    download.leave();
    download.update({ complete: false });
    await expect.poll(() => tracker.metric('announces_total{kind="heartbeat"}')).toBeGreaterThan(0);
    expect(await replicas()).toBe(1);
    seed.leave();
    await expect.poll(() => tracker.metric('memberships')).toBe(0);
  });

  it('sends what changes within a moment in one message, and nothing but heartbeats after', async () => {
    await using tracker = await runTracker(QUICK);
    const agent = announcer([tracker.running.address]);
    for (let n = 0; n < 50; n++) agent.join(hexId(), { complete: true, want: 0 }, none);
    await expect
      .poll(() => tracker.metric('announces_total{kind="heartbeat"}'), { timeout: 5000 })
      .toBeGreaterThan(2);
    expect(await tracker.metric('announces_total{kind="start"}')).toBe(1);
    expect(await tracker.metric('announces_total{kind="delta"}')).toBe(0);
    expect(await tracker.metric('memberships')).toBe(50);
  });

  it('takes part in more swarms than one message holds', async () => {
    await using tracker = await runTracker();
    const agent = announcer([tracker.running.address]);
    for (let n = 0; n < 5000; n++) agent.join(hexId(), { complete: true, want: 0, digest: DIGEST }, none);
    await expect.poll(() => tracker.metric('memberships'), { timeout: 5000 }).toBe(5000);
  });

  it('makes a tracker that was restarted empty whole again within one interval', async () => {
    const first = await runTracker(QUICK);
    const listen = first.running.address;
    const swarms = Array.from({ length: 20 }, () => hexId());
    const agents = Array.from({ length: 5 }, () => announcer([listen]));
    const { answers, onPeers } = collect();
    for (const agent of agents)
      for (const swarm of swarms) agent.join(swarm, { complete: true, want: 3 }, onPeers);
    await expect.poll(() => first.metric('memberships')).toBe(100);
    await expect.poll(() => answers.length).toBe(100);
    await first[Symbol.asyncDispose]();
    await using second = await runTracker({ ...QUICK, listen });
    await expect.poll(() => second.metric('memberships'), { timeout: 2 * INTERVAL, interval: 20 }).toBe(100);
    expect(await second.metric('swarms')).toBe(20);
    // A pull goes on with the peers it has: it is not told of them again.
    expect(answers).toHaveLength(100);
  });

  it('goes on at the next tracker when one is lost, and back when it returns', async () => {
    const preferred = await runTracker(QUICK);
    await using second = await runTracker(QUICK);
    const listen = preferred.running.address;
    const agent = announcer([listen, second.running.address]);
    agent.join(hexId(), { complete: true, want: 0 }, none);
    await expect.poll(() => preferred.metric('memberships')).toBe(1);
    expect(await second.metric('memberships')).toBe(0);
    await preferred[Symbol.asyncDispose]();
    await expect.poll(() => second.metric('memberships'), { timeout: 5000 }).toBe(1);
    agent.join(hexId(), { complete: true, want: 0 }, none);
    await expect.poll(() => second.metric('memberships'), { timeout: 5000 }).toBe(2);
    await using back = await runTracker({ ...QUICK, listen });
    await expect.poll(() => back.metric('memberships'), { timeout: 5000 }).toBe(2);
    await expect.poll(() => second.metric('memberships'), { timeout: 5000 }).toBe(0);
  });

  it('keeps what there is to tell until a tracker answers', async () => {
    const gone = await runTracker(QUICK);
    const listen = gone.running.address;
    await gone[Symbol.asyncDispose]();
    const agent = announcer([listen]);
    agent.join(hexId(), { complete: true, want: 0 }, none);
    const left = agent.join(hexId(), { complete: true, want: 0 }, none);
    await expect.poll(() => agent.reachable).toBe(false);
    left.leave();
    await expect(agent.lease(DIGEST, 'verified', AbortSignal.timeout(5000))).rejects.toThrow(
      TrackerUnreachableError,
    );
    await expect(agent.replicas([hexId()], AbortSignal.timeout(5000))).rejects.toThrow(
      TrackerUnreachableError,
    );
    await using tracker = await runTracker({ ...QUICK, listen });
    await expect.poll(() => tracker.metric('memberships'), { timeout: 5000 }).toBe(1);
    // The tracker knows of it before its answer is here.
    await expect.poll(() => agent.reachable).toBe(true);
  });

  it('says goodbye, so that nobody is sent to it any more', async () => {
    await using tracker = await runTracker();
    const agent = announcer([tracker.running.address]);
    agent.join(hexId(), { complete: true, want: 0 }, none);
    await agent.lease(DIGEST, 'verified', AbortSignal.timeout(5000));
    await expect.poll(() => tracker.metric('members')).toBe(1);
    await agent[Symbol.asyncDispose]();
    expect([await tracker.metric('members'), await tracker.metric('leases')]).toEqual([0, 0]);
    expect(() => agent.join(hexId(), { complete: true, want: 0 }, none)).toThrow('closed');
    await expect(agent.lease(DIGEST, 'verified', AbortSignal.timeout(5000))).rejects.toThrow('closed');
  });

  it('gets leases, renews them and gives them back', async () => {
    await using tracker = await runTracker({ leases: { perBlob: 1, ttlMs: 60_000 } });
    const [a, b] = [announcer([tracker.running.address]), announcer([tracker.running.address])];
    const signal = AbortSignal.timeout(5000);
    const granted = { granted: true, ttlMs: 60_000, retryAfterMs: 0 };
    expect(await a.lease(DIGEST, 'registry.test', signal)).toEqual(granted);
    expect(await a.lease(DIGEST, 'registry.test', signal)).toEqual(granted);
    expect(await b.lease(DIGEST, 'registry.test', signal)).toEqual({
      granted: false,
      ttlMs: 0,
      retryAfterMs: 3000,
      waiting: 1,
    });
    await a.release(DIGEST, 'registry.test', signal);
    expect(await b.lease(DIGEST, 'registry.test', signal)).toEqual(granted);
    await expect(b.lease(DIGEST, 'registry.test', AbortSignal.abort(new Error('enough')))).rejects.toThrow(
      'enough',
    );
  });

  it('gets a lease of the next tracker when one does not answer, and takes back what that one may grant late', async () => {
    await using second = await runTracker();
    const heard: string[] = [];
    const silent = createServer(({ method, url }) => void heard.push(`${method} ${url}`)).listen(
      0,
      '127.0.0.1',
    );
    onTestFinished(() => silent.close(() => undefined).closeAllConnections());
    await once(silent, 'listening');
    const agent = announcer([`127.0.0.1:${portOf(silent)}`, second.running.address]);
    const lease = await agent.lease(DIGEST, 'registry.test', AbortSignal.timeout(4000));
    expect(lease.granted).toBe(true);
    await expect.poll(() => heard).toEqual(['POST /v1/leases', 'DELETE /v1/leases']);
  });

  it('tells of an info-hash before or after it joins, and hears of strangers', async () => {
    await using tracker = await runTracker({ ...QUICK, strangers: { listen: '127.0.0.1:0' } });
    const origin = announcer([tracker.running.address], { role: 'origin' });
    const [early, late] = [hexId(), hexId()];
    origin.registerAlias(early, hexId(), DIGEST);
    origin.join(early, { complete: true, want: 0, digest: DIGEST }, none);
    origin.join(late, { complete: true, want: 0, digest: DIGEST }, none);
    await expect.poll(() => tracker.metric('info_hashes')).toBe(1);
    const infoHash = hexId();
    origin.registerAlias(late, infoHash, DIGEST);
    await expect.poll(() => tracker.metric('info_hashes')).toBe(2);
    const { answers, onPeers } = collect();
    announcer([tracker.running.address]).join(late, { complete: false, want: 5 }, onPeers);
    await expect.poll(() => answers.length).toBe(1);
    expect(answers[0]!.aliases.map((alias) => alias.infoHash)).toContain(infoHash);
    // Who seeds asks for no peers, and is told all the same, within an interval, and once.
    const { answers: heard, onPeers: hear } = collect();
    announcer([tracker.running.address]).join(early, { complete: true, want: 0, digest: DIGEST }, hear);
    await expect.poll(() => heard.length).toBe(1);
    const third = hexId();
    origin.join(third, { complete: true, want: 0, digest: DIGEST }, none);
    const added = hexId();
    origin.registerAlias(third, added, DIGEST);
    await expect.poll(() => heard.length, { timeout: 3000 }).toBe(2);
    expect(heard[1]!.aliases.map((alias) => alias.infoHash)).toContain(added);
    expect(heard[1]!.peers).toEqual([]);
  });

  it('does nothing without trackers, and refuses names that are none', async () => {
    const agent = announcer([]);
    agent.join(hexId(), { complete: true, want: 5 }, none);
    await expect(agent.lease(DIGEST, 'verified', AbortSignal.timeout(5000))).rejects.toThrow(
      'no tracker is configured',
    );
    expect(agent.reachable).toBe(true);
    expect(() => announcer(['user@host:1'])).toThrow('host:port is expected');
    expect(() => announcer(['host:1/path'])).toThrow('host:port is expected');
  });

  it.each([
    ['no JSON', 200, 'not json'],
    ['the wrong JSON', 200, '{"intervalMs":0}'],
    ['an error', 500, '{}'],
    ['more than it may', 200, `"${'x'.repeat(5_000_000)}"`],
  ])('counts a tracker that answers %s as lost, and asks again with care', async (_, status, body) => {
    let asked = 0;
    const server = createServer((request, response) => {
      asked++;
      request.resume().on('end', () => response.writeHead(status).end(body));
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const agent = announcer([`127.0.0.1:${portOf(server)}`]);
    agent.join(hexId(), { complete: true, want: 0 }, none);
    await expect.poll(() => asked, { timeout: 5000 }).toBeGreaterThan(1);
    expect(agent.reachable).toBe(false);
    expect(asked).toBeLessThan(5);
  });
});

import { describe, expect, test } from 'vitest';
import { Admission } from '#agent/door/admission.ts';
import { DoorTokens } from '#agent/door/door-tokens.ts';
import { RecentSources } from '#agent/door/sources.ts';
import { LruMap } from '#service/lru-map.ts';
import { createAgentMetrics } from '#agent/metrics.ts';
import { KnownFacts } from '#agent/rights/known-facts.ts';
import { SharedWork } from '#agent/shared-work.ts';
import { parseDigest } from '#registry/digest.ts';
import { createMetrics } from '#service/metrics.ts';

function digest(n: number): ReturnType<typeof parseDigest> {
  return parseDigest(`sha256:${n.toString(16).padStart(64, '0')}`);
}

describe('the door', () => {
  test('sheds with 503 and Retry-After beyond its bound, and takes requests again when others end', () => {
    let shed = 0;
    const admission = new Admission({ rate: { admits: () => true }, onShed: () => (shed += 1) }, 2);
    const first = admission.enter();
    admission.enter();
    expect(() => admission.enter()).toThrow(
      expect.objectContaining({ status: 503, code: 'UNAVAILABLE', headers: { 'retry-after': '1' } }),
    );
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(admission.running).toBe(1);
    admission.enter();
    expect(() => admission.enter()).toThrow('try again');
    expect(shed).toBe(2);
  });

  test('sheds who asks too often, with 503, and nobody else', () => {
    let shed = 0;
    const rate = { admits: (caller: string | undefined) => caller !== 'Basic often' };
    const admission = new Admission({ rate, onShed: () => (shed += 1) });
    expect(() => admission.count('Basic often')).toThrow(
      expect.objectContaining({ status: 503, code: 'UNAVAILABLE', headers: { 'retry-after': '1' } }),
    );
    admission.count(undefined);
    admission.count('Basic seldom');
    expect(shed).toBe(1);
  });

  test('keeps a bounded number of passwords, each for no longer than its token counts', async () => {
    using tokens = new DoorTokens(50);
    const login = { credential: { kind: 'password', username: 'a', password: 'b' }, places: [] } as const;
    const issued = Array.from({ length: 1025 }, () => tokens.issue(login));
    const kinds = (): Set<string> =>
      new Set(issued.slice(1).map((token) => tokens.holder(`Bearer ${token}`).kind));
    expect(tokens.holder(`Bearer ${issued[0]}`).kind).toBe('unknown');
    expect(kinds()).toEqual(new Set(['login']));
    await expect.poll(kinds).toEqual(new Set(['unknown']));
  });

  test('remembers the sources of a bounded number of digests', () => {
    const recent = new RecentSources();
    for (let n = 0; n < 2000; n += 1) recent.add(digest(n), 'peer', n);
    expect(recent.get(digest(0))).toBeUndefined();
    recent.add(digest(1999), 'cache', 1);
    expect(recent.get(digest(1999))).toEqual({ cache: 1, peer: 1999, origin: 0, upstream: 0 });
  });
});

test('labels stay few however many registries are named', () => {
  const metrics = createAgentMetrics(createMetrics('agent', { process: false }));
  const labels = new Set(Array.from({ length: 500 }, (_, n) => metrics.registryLabel(`r${n}.io`)));
  expect(labels.size).toBe(51);
  expect(metrics.registryLabel('r0.io')).toBe('r0.io');
  expect(metrics.registryLabel('r499.io')).toBe('other');
});

test('the map forgets what was used longest ago', () => {
  const map = new LruMap<string, number>(2);
  map.set('a', 1);
  map.set('b', 2);
  map.get('a');
  map.set('c', 3);
  expect([map.get('a'), map.get('b'), map.get('c'), map.size]).toEqual([1, undefined, 3, 2]);
});

describe('facts', () => {
  test('of membership and of provenance do not stand in for each other', () => {
    const known = new KnownFacts({ stat: () => undefined, addFacts: () => {} });
    known.learnMember(digest(1), 'u.io', 'app');
    expect(known.isMember(digest(1), 'u.io', 'app')).toBe(true);
    expect(known.isDelivered(digest(1), 'u.io')).toBe(false);
    known.learnDelivered(digest(1), 'v.io', 'lib');
    expect(known.isMember(digest(1), 'v.io', 'app')).toBe(false);
    expect(known.isMember(digest(1), 'u.io', 'lib')).toBe(false);
    expect(known.isDelivered(digest(1), 'u.io')).toBe(false);
  });

  test('of one digest are bounded, the oldest out', () => {
    const known = new KnownFacts({ stat: () => undefined, addFacts: () => {} });
    for (let n = 0; n < 100; n += 1) known.learnDelivered(digest(1), `r${n}.io`, 'app');
    expect([0, 35, 36, 99].map((n) => known.isDelivered(digest(1), `r${n}.io`))).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  test('learnt before the blob is stored are stored with it', () => {
    const stored = new Set<string>();
    const added: unknown[] = [];
    const known = new KnownFacts({
      stat: (name) => (stored.has(name) ? { facts: { registries: [], repositories: [] } } : undefined),
      addFacts: (_digest, facts) => void added.push(facts),
    });
    known.learnDelivered(digest(1), 'u.io', 'app', { mediaType: 'text/x', size: 5 });
    known.settle(digest(1));
    expect(added).toEqual([]);
    stored.add(digest(1));
    known.settle(digest(1));
    known.settle(digest(1));
    expect(added).toEqual([{ registries: ['u.io'], repositories: ['u.io/app'], mediaType: 'text/x' }]);
  });
});

test('work that failed for all who shared it is begun anew by the next', async () => {
  const work = new SharedWork<number>();
  const signal = new AbortController().signal;
  let runs = 0;
  const fail = async (): Promise<number> => {
    runs += 1;
    throw new Error('broken');
  };
  const both = [work.run('k', signal, fail), work.run('k', signal, fail)];
  await expect(Promise.allSettled(both)).resolves.toMatchObject([
    { status: 'rejected' },
    { status: 'rejected' },
  ]);
  expect(runs).toBe(1);
  expect(await work.run('k', signal, async () => 7)).toBe(7);
});

import { describe, expect, test } from 'vitest';
import { RateFloor } from '#origin/rate-floor.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { addBlob, MIB, OriginFixture, readDigest, until } from './origin-fixture.ts';

const USERS = ['first', 'second'].map((name) => ({ name, password: name, repositories: ['team/app'] }));
const basic = (name: string): string => `Basic ${Buffer.from(`${name}:${name}`).toString('base64')}`;

test('a read that trickles goes on by Range, in the name of the next caller who waits', async () => {
  await using fixture = await OriginFixture.start({
    origins: 1,
    upstream: { auth: { kind: 'basic', users: USERS } },
    settings: { minimumRate: '1MB/s' },
  });
  const { upstream } = fixture;
  const blob = deterministicBytes('slow', 6 * MIB);
  const digest = addBlob(upstream, blob);
  upstream.faults.inject(
    { kind: 'trickle', bytesPerSecond: 256 * 1024 },
    { method: 'GET', digest, times: 1 },
  );
  const descriptor = await fixture.describe(0, digest, { authorization: basic('first') });
  await fixture.describe(0, digest, { authorization: basic('second') });
  const agent = await fixture.member();
  const reading = readDigest(await fixture.join(agent, descriptor));
  await until('some of it is read', () => fixture.upstreamBytes(digest) > 300 * 1024);
  expect(upstream.log.gets).toBe(1);
  fixture.ahead += 11_000;
  expect(await reading).toBe(digest);
  const gets = upstream.log.entries.filter(({ method }) => method === 'GET');
  expect(gets.map(({ user }) => user)).toEqual(['first', 'second']);
  expect(gets[1]?.range).toMatch(/^bytes=[1-9]\d*-$/u);
  expect(fixture.upstreamBytes(digest)).toBeLessThan(1.1 * blob.length);
});

test('a read that trickles from a registry without ranges is not begun anew for ever', async () => {
  await using fixture = await OriginFixture.start({ origins: 1, settings: { minimumRate: '10MB/s' } });
  const { upstream } = fixture;
  const blob = deterministicBytes('slow and whole', 3 * MIB);
  const digest = addBlob(upstream, blob);
  upstream.configure({ bytesPerSecond: 2 * MIB });
  upstream.faults.inject({ kind: 'ignore-range' }, { method: 'GET', digest });
  const descriptor = await fixture.describe(0, digest);
  const agent = await fixture.member();
  const reading = readDigest(await fixture.join(agent, descriptor));
  const impatience = setInterval(() => (fixture.ahead += 20_000), 100);
  try {
    expect(await reading).toBe(digest);
  } finally {
    clearInterval(impatience);
  }
  expect(upstream.log.gets).toBeLessThanOrEqual(4);
});

describe('the least rate', () => {
  test('is judged over ten seconds of waiting, however the bytes come', () => {
    const floor = new RateFloor(1000);
    expect(floor.isBelow(5_000, 9_999)).toBe(false);
    expect(floor.isBelow(0, 1)).toBe(true);
    const enough = new RateFloor(1000);
    expect([enough.isBelow(9_000, 5_000), enough.isBelow(1_000, 5_000)]).toEqual([false, false]);
  });

  test('gives a registry that is no faster the second time ever longer, and ten seconds again once it is', () => {
    const floor = new RateFloor(1000);
    const patience = (): number => {
      let seconds = 1;
      while (!floor.isBelow(1, 1000)) seconds += 1;
      return seconds;
    };
    expect([patience(), patience()]).toEqual([10, 20]);
    expect(floor.isBelow(1_000_000, 40_000)).toBe(false);
    expect(patience()).toBe(10);
  });

  test('is none for a registry that has been too slow three times in a row', () => {
    const floor = new RateFloor(1000);
    const slow = Array.from({ length: 1000 }, () => floor.isBelow(1, 1000)).filter(Boolean);
    expect(slow).toHaveLength(3);
    expect(floor.isBelow(1_000_000, 80_000)).toBe(false);
    expect(floor.isBelow(1, 10_000)).toBe(true);
  });
});

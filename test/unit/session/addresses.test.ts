import { expect, test } from 'vitest';

import { Addresses, type DialTarget } from '#swarm/session/addresses.ts';

const PEER: DialTarget = { host: '10.0.0.1', port: 29_502, role: 'agent', infoHash: Buffer.alloc(20) };

/** Waits until the next attempt at a peer that never answers, in milliseconds; the last one is for ever. */
function waits(random: number): number[] {
  const addresses = new Addresses(() => random);
  addresses.add(PEER);
  const found: number[] = [];
  for (let now = 0, last = 0; now < 300_000; now += 250) {
    if (addresses.take(1, now, () => false).length === 0) continue;
    found.push(now - last);
    last = now;
    addresses.failed(PEER, now);
  }
  return found;
}

test('a peer that cannot be reached is dialled ever more seldom, and at last forgotten', () => {
  expect(waits(1)).toEqual([0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
  expect(waits(0)).toEqual([0, 250, 500, 1000, 2000, 4000, 8000, 15_000]);
});

test('a process that is known by two swarm ids is dialled by one at a time, by the other when that fails', () => {
  const addresses = new Addresses(() => 1);
  const other = { ...PEER, infoHash: Buffer.alloc(20, 1) };
  const neighbour = { ...PEER, host: '10.0.0.2' };
  const stranger = { ...neighbour, role: 'stranger' as const, infoHash: other.infoHash };
  for (const target of [stranger, PEER, other, neighbour]) addresses.add(target);
  const take = (now: number): readonly DialTarget[] => addresses.take(8, now, () => false);
  expect(take(0)).toEqual([PEER, neighbour]);
  expect(take(0)).toEqual([]);
  addresses.failed(PEER, 0);
  expect(take(0)).toEqual([other]);
  expect(take(10_000)).toEqual([]);
  addresses.failed(other, 10_000);
  expect(take(10_000)).toEqual([PEER]);
});

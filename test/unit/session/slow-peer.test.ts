import { expect, it } from 'vitest';
import type { Block } from '#swarm/core/piece-table.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { HEARD_BYTES } from '#swarm/session/defaults.ts';
import { EXTENSION } from '#swarm/wire/shoal-messages.ts';
import { recordedSession } from './recorded-session.ts';

const KIB = 1024;

/** It answers `block` after so long. */
function answered(peer: PeerSession, block: Block, wait: () => void): void {
  peer.request(block);
  wait();
  peer.blockTarget(block);
  peer.onBlock(block);
}

it('a peer that takes long is asked for short blocks, one that is quick for long ones', async () => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer } = await recordedSession(stack, 'agent', { now: () => now });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  expect(peer.blockLength).toBe(128 * KIB);
  answered(peer, { index: 0, offset: 0, length: peer.blockLength }, () => (now += 4_000));
  expect(peer.blockLength).toBe(32 * KIB);
  for (let index = 1; index < 60; index++)
    answered(peer, { index, offset: 0, length: peer.blockLength }, () => (now += 10));
  expect(peer.blockLength).toBe(256 * KIB);
});

it('a peer is as quick as it was when it was asked for nothing for a moment, and a stranger again after longer', async () => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer } = await recordedSession(stack, 'agent', { now: () => now });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  for (let index = 0; index < 20; index++)
    answered(peer, { index, offset: 0, length: peer.blockLength }, () => (now += 10));
  const before = peer.received.perSecond(now);
  now += 1_900;
  expect(peer.received.perSecond(now)).toBe(before);
  now += 200;
  expect(peer.blockLength).toBe(128 * KIB);
});

it('a peer from which everything was taken back is waited for no longer', async () => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer } = await recordedSession(stack, 'agent', { now: () => now });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  for (let index = 0; index < 20; index++)
    answered(peer, { index, offset: 0, length: peer.blockLength }, () => (now += 10));
  const before = peer.received.perSecond(now);
  peer.request({ index: 30, offset: 0, length: 256 * KIB });
  expect(peer.takeBack()).toHaveLength(1);
  now += 1_900;
  expect(peer.received.perSecond(now)).toBe(before);
});

it('a slow peer stays one, however long it is asked for nothing', async () => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer } = await recordedSession(stack, 'agent', { now: () => now });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  answered(peer, { index: 0, offset: 0, length: 128 * KIB }, () => (now += 4_000));
  now += 60_000;
  expect(peer.blockLength).toBe(32 * KIB);
});

it('a peer that sends a block after another has is not waited for any more', async () => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer } = await recordedSession(stack, 'agent', { now: () => now, wants: false });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  answered(peer, { index: 0, offset: 0, length: 128 * KIB }, () => (now += 10));
  expect(peer.asked(0, 0)).toBe(false);
  now += 6_000;
  expect(peer.silentSince(5_000)).toBe(false);
});

it('a block that was taken back and is rejected late says nothing of a shorter one at its place', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer } = await recordedSession(stack);
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  const long = { index: 0, offset: 0, length: 128 * KIB };
  const short = { ...long, length: 32 * KIB };
  peer.request(long);
  peer.takeBack();
  peer.request(short);
  peer.onReject(long);
  expect(peer.asked(0, 0)).toBe(true);
  peer.onReject(short);
  expect(peer.asked(0, 0)).toBe(false);
});

it.each([
  [HEARD_BYTES, false],
  [HEARD_BYTES / 2, true],
])('a peer of which %i bytes came meanwhile is silent: %s', async (bytes, silent) => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer, far } = await recordedSession(stack, 'agent', { now: () => now });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  peer.request({ index: 0, offset: 0, length: peer.blockLength });
  now = 6_000;
  peer.look();
  expect(peer.silentSince(1_000)).toBe(true);
  const before = peer.wire.bytesRead;
  far.extension(EXTENSION.hashes, new Uint8Array(bytes));
  await expect.poll(() => peer.wire.bytesRead - before).toBeGreaterThanOrEqual(bytes);
  peer.look();
  expect(peer.silentSince(1_000)).toBe(silent);
});

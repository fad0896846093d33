import { expect, it } from 'vitest';
import type { Block } from '#swarm/core/piece-table.ts';
import type { PeerSession } from '#swarm/session/peer-session.ts';
import { HEARD_BYTES } from '#swarm/session/defaults.ts';
import type { Wire } from '#swarm/wire/wire.ts';
import { EXTENSION } from '#swarm/wire/shoal-messages.ts';
import { recordedSession } from './recorded-session.ts';

const KIB = 1024;

/** A session with a clock of its own, agreed on blocks of 256 KiB. */
async function slowOrQuick(
  stack: AsyncDisposableStack,
  wants = true,
): Promise<{ peer: PeerSession; far: Wire; clock: { now: number } }> {
  const clock = { now: 0 };
  const { peer, far } = await recordedSession(stack, 'agent', { now: () => clock.now, wants });
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  return { peer, far, clock };
}

/** It answers `block` after so long. */
function answered(peer: PeerSession, block: Block, wait: () => void): void {
  peer.request(block);
  wait();
  peer.blockTarget(block);
  peer.onBlock(block);
}

function beQuick(peer: PeerSession, clock: { now: number }): void {
  for (let index = 1; index < 60; index++)
    answered(peer, { index, offset: 0, length: peer.blockLength }, () => (clock.now += 10));
}

it('a peer that takes long is asked for short blocks, one that is quick for long ones', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, clock } = await slowOrQuick(stack);
  expect(peer.blockLength).toBe(128 * KIB);
  answered(peer, { index: 0, offset: 0, length: peer.blockLength }, () => (clock.now += 4_000));
  expect(peer.blockLength).toBe(32 * KIB);
  beQuick(peer, clock);
  expect(peer.blockLength).toBe(256 * KIB);
});

it('a peer is as quick as it was when it was asked for nothing for a moment, and a stranger again after longer', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, clock } = await slowOrQuick(stack);
  beQuick(peer, clock);
  const before = peer.received.perSecond(clock.now);
  clock.now += 1_900;
  expect(peer.received.perSecond(clock.now)).toBe(before);
  clock.now += 200;
  expect(peer.blockLength).toBe(128 * KIB);
});

it('a peer from which everything was taken back is waited for no longer', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, clock } = await slowOrQuick(stack);
  beQuick(peer, clock);
  const before = peer.received.perSecond(clock.now);
  peer.request({ index: 0, offset: 0, length: 256 * KIB });
  expect(peer.takeBack()).toHaveLength(1);
  clock.now += 1_900;
  expect(peer.received.perSecond(clock.now)).toBe(before);
});

it('a slow peer stays one, however long it is asked for nothing', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, clock } = await slowOrQuick(stack);
  answered(peer, { index: 0, offset: 0, length: 128 * KIB }, () => (clock.now += 4_000));
  clock.now += 60_000;
  expect(peer.blockLength).toBe(32 * KIB);
});

it('a peer that sends a block after another has is not waited for any more', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer, clock } = await slowOrQuick(stack, false);
  answered(peer, { index: 0, offset: 0, length: 128 * KIB }, () => (clock.now += 10));
  expect(peer.asked(0, 0)).toBe(false);
  clock.now += 6_000;
  expect(peer.silentSince(5_000)).toBe(false);
});

it('a block that was taken back and is rejected late says nothing of a shorter one at its place', async () => {
  await using stack = new AsyncDisposableStack();
  const { peer } = await slowOrQuick(stack);
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
  const { peer, far, clock } = await slowOrQuick(stack);
  peer.request({ index: 0, offset: 0, length: peer.blockLength });
  clock.now = 6_000;
  peer.look();
  expect(peer.silentSince(1_000)).toBe(true);
  const before = peer.wire.bytesRead;
  far.extension(EXTENSION.hashes, new Uint8Array(bytes));
  await expect.poll(() => peer.wire.bytesRead - before).toBeGreaterThanOrEqual(bytes);
  peer.look();
  expect(peer.silentSince(1_000)).toBe(silent);
});

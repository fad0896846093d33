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
  const { peer } = await recordedSession(stack, 'agent', () => now);
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  expect(peer.blockLength).toBe(128 * KIB);
  answered(peer, { index: 0, offset: 0, length: peer.blockLength }, () => (now += 4_000));
  expect(peer.blockLength).toBe(32 * KIB);
  for (let index = 1; index < 60; index++)
    answered(peer, { index, offset: 0, length: peer.blockLength }, () => (now += 10));
  expect(peer.blockLength).toBe(256 * KIB);
});

it('a quick peer that had nothing to give for a while is still a quick one', async () => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer } = await recordedSession(stack, 'agent', () => now);
  await expect.poll(() => peer.wire.blockLength).toBe(256 * KIB);
  for (let index = 0; index < 20; index++)
    answered(peer, { index, offset: 0, length: peer.blockLength }, () => (now += 10));
  now += 1_900;
  expect(peer.blockLength).toBe(256 * KIB);
  now += 60_000;
  expect(peer.blockLength).toBe(128 * KIB);
});

it.each([
  [HEARD_BYTES, false],
  [HEARD_BYTES / 2, true],
])('a peer of which %i bytes came meanwhile is silent: %s', async (bytes, silent) => {
  await using stack = new AsyncDisposableStack();
  let now = 0;
  const { peer, far } = await recordedSession(stack, 'agent', () => now);
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

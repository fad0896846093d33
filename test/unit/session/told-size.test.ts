import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { RawPeer } from './raw-peer.ts';
import { pieceOf, SwarmFixture } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const blob = deterministicBytes('told size', 12 * PIECE - 9);
const digest = digestOf(blob);
const scope = 'hostile.example';

/** A member that has the whole blob meets an agent which was told that it has two pieces. */
async function startMeeting({ signed }: { signed: boolean }) {
  const stack = new AsyncDisposableStack();
  const fixture = stack.use(await SwarmFixture.start());
  const { engine, port } = (await fixture.member('agent')).swarm;
  const size = PIECE + 1;
  const torrent = await engine.torrent({ digest, scope, trust: 'unproved', size });
  if (signed) torrent.batches.add(fixture.sign(digest, scope, size, [pieceOf(blob, 0)]));
  const peer = stack.use(await RawPeer.connect(port, torrent.swarmId));
  stack.defer(() => torrent.release());
  return {
    peer,
    redial: () => peer.redial(port, torrent.swarmId),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

it.each(['have', 'bitfield'] as const)(
  'a member whose %s does not fit the size that a registry told is left, not banned: nobody signed that size',
  async (message) => {
    await using meeting = await startMeeting({ signed: false });
    const { peer } = meeting;
    if (message === 'have') peer.wire.have(11);
    else peer.offer(12);
    await peer.closed;
    await meeting.redial();
    await sleep(100);
    expect(peer.isClosed).toBe(false);
  },
);

it('one that contradicts a signed size is banned', async () => {
  await using meeting = await startMeeting({ signed: true });
  meeting.peer.wire.have(11);
  await meeting.peer.closed;
  await meeting.redial();
  await meeting.peer.closed;
  expect(meeting.peer.isClosed).toBe(true);
});

import { type PeerEvents, type PeerRole, PeerSession } from '#swarm/session/peer-session.ts';
import { PiecePool } from '#swarm/session/piece-memory.ts';
import type { Wire } from '#swarm/wire/wire.ts';
import { connectedPair, type RecordingHandler } from '../wire/fixture.ts';

export const PIECES = 64;

const none = (): void => {};
const events: PeerEvents = {
  gained: none,
  disowned: none,
  ready: none,
  introduced: none,
  wants: () => true,
  arrived: (_peer, _block, memory) => memory.release(),
  lost: none,
  interest: none,
  serve: none,
  hashesAsked: none,
  hashesCame: none,
  pieceWanted: none,
  broke: none,
  closed: none,
};

/** A session that talks to a recorder over a real connection. */
export async function recordedSession(
  stack: AsyncDisposableStack,
  role: PeerRole = 'agent',
  { now = (): number => 0, wants = true }: { now?: () => number; wants?: boolean } = {},
): Promise<{ peer: PeerSession; heard: RecordingHandler; far: Wire }> {
  const { dialer, listener } = await connectedPair(stack);
  const parts = { events: { ...events, wants: () => wants }, pool: new PiecePool(0), now };
  const peer = new PeerSession(dialer.wire, { role, count: PIECES }, parts);
  return { peer, heard: listener.handler, far: listener.wire };
}

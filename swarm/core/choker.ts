/**
 * Peers served at once per torrent. More than a torrent has connections as a rule (knob `peer.maxPeersPerSwarm`): who
 * waits choked may be the only one to lack, or to have been shown, what the rest wait for.
 */
export const UPLOAD_SLOTS = 64;

/** Slots given at random among those that wait, so that nobody waits for ever (BEP 3's optimistic unchoke). */
export const OPTIMISTIC_SLOTS = 2;

/** How often the choices are made anew. Milliseconds. */
export const CHOKE_INTERVAL_MS = 2_000;

export interface ChokeCandidate<Peer> {
  readonly peer: Peer;
  readonly interested: boolean;
  /** Bytes sent to it since the last choice. */
  readonly sent: number;
  /** Pieces that it has: who has little is served first, since it has most to pass on to. */
  readonly pieces: number;
}

/**
 * Whom to serve until the next choice. Peers of one cluster are on one side, so slots are shared fairly instead
 * of traded: who got least of late comes first, then who has least, then chance.
 */
export function chooseUnchoked<Peer>(
  candidates: readonly ChokeCandidate<Peer>[],
  random: () => number,
  slots: number = UPLOAD_SLOTS,
): Set<Peer> {
  const waiting = candidates.filter((candidate) => candidate.interested);
  if (waiting.length <= slots) return new Set(waiting.map((candidate) => candidate.peer));
  const ranked = waiting
    .map((candidate) => ({ candidate, tie: random() }))
    .sort(
      (a, b) =>
        a.candidate.sent - b.candidate.sent || a.candidate.pieces - b.candidate.pieces || a.tie - b.tie,
    )
    .map(({ candidate }) => candidate.peer);
  const chosen = new Set(ranked.slice(0, slots - Math.min(OPTIMISTIC_SLOTS, slots)));
  const rest = ranked.filter((peer) => !chosen.has(peer));
  while (chosen.size < slots && rest.length > 0) {
    chosen.add(rest.splice(Math.floor(random() * rest.length), 1)[0]!);
  }
  return chosen;
}

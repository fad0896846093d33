/** A peer with this many points against it is banned. */
const BAN_POINTS = 100;

/** How long a ban holds. Milliseconds. */
export const BAN_MS = 10 * 60_000;

/** Points fade at this rate, so that a long life with rare mishaps is no crime. Points per second. */
const FADE_PER_SECOND = 0.5;

/** Peers remembered; the oldest record goes first. */
const MAX_RECORDS = 4_096;

/** What a peer may do wrong and how heavily it weighs. */
const OFFENCES = {
  /** Bytes that do not match the signed hash: nothing innocent does that. */
  badPiece: BAN_POINTS,
  badHashes: BAN_POINTS,
  /** Had a part in such a piece together with others; who it was shows when the piece comes from one of them alone. */
  suspectPiece: BAN_POINTS / 10,
  protocol: BAN_POINTS,
} as const;

export type Offence = keyof typeof OFFENCES;

interface Record {
  points: number;
  at: number;
  bannedUntil: number;
}

/** Who did what wrong and who is banned, by a name that it cannot choose. Bounded; time is passed in, in milliseconds. */
export class PeerScores {
  readonly #records = new Map<string, Record>();

  /** Notes an offence; true if the peer is banned from now on. */
  note(peer: string, offence: Offence, now: number): boolean {
    const record = this.#records.get(peer) ?? { points: 0, at: now, bannedUntil: 0 };
    const faded = record.points - ((now - record.at) / 1_000) * FADE_PER_SECOND;
    record.points = Math.max(faded, 0) + OFFENCES[offence];
    record.at = now;
    if (record.points >= BAN_POINTS) {
      record.bannedUntil = now + BAN_MS;
      record.points = 0;
    }
    this.#remember(peer, record);
    return record.bannedUntil > now;
  }

  banned(peer: string, now: number): boolean {
    return (this.#records.get(peer)?.bannedUntil ?? 0) > now;
  }

  #remember(peer: string, record: Record): void {
    this.#records.delete(peer);
    this.#records.set(peer, record);
    if (this.#records.size > MAX_RECORDS) this.#records.delete(this.#records.keys().next().value!);
  }
}

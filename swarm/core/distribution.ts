import { Bitfield } from './bitfield.ts';

/** Pieces that a peer may have been shown and not yet been sent, whatever its speed. */
export const MIN_GRANTS = 2;

/** No peer is shown more than this many pieces ahead, however fast it is. */
export const MAX_GRANTS = 32;

/** A peer is shown as many pieces as it takes in this many seconds at the rate it had lately. */
export const GRANT_SECONDS = 0.1;

/** A piece that its only holder has not passed on this long after it could fetch it is shown to another peer. Milliseconds. */
export const UNREPLICATED_MS = 3_000;

/**
 * A piece is not shown to a peer that asks for it by name before whoever was shown it last has had this long to fetch it
 * and pass it on: over slow links all wait for the same piece, and would all have it from the source. Milliseconds.
 */
export const WANT_GRACE_MS = 1_000;

/**
 * While something is sent to a peer, what it was shown is kept for it, but for no longer than this: who fetches a little at a time
 * keeps no piece from others until they read from upstream. Milliseconds.
 */
export const LONGEST_FETCH_MS = 5_000;

/** The first piece is shown to at most so many peers: it is what runtimes wait for, and all would ask one holder for it. */
export const FIRST_PIECE_COPIES = 4;

/** For each copy of the first piece but one the blob has so many pieces: the source sends no more than 2 % on top. With fewer it is small. */
const PIECES_PER_COPY = 64;

interface Grant {
  /** When it was shown. Milliseconds. */
  readonly at: number;
  /** Some of it was sent. */
  begun: boolean;
}

interface Receiver {
  /** What the peer has, by its own word. */
  readonly pieces: Bitfield;
  /** What it was shown and has not announced yet. */
  readonly granted: Map<number, Grant>;
  readonly shown: Bitfield;
}

/**
 * Whom the first source of a blob shows which piece: each piece but the first to one peer, in order, waiting for no
 * confirmation; again only when its holder is gone, when nobody else has it after a while, or when a peer asks
 * for it by name. (BEP 16 super-seeding waits until a piece has been passed on before it shows the next.)
 */
export class Distribution<Peer> {
  readonly #available: Bitfield;
  readonly #receivers = new Map<Peer, Receiver>();
  /** Peers connected that have or were shown each piece. */
  readonly #copies: Uint16Array;
  /** When a piece was last shown, or something sent to who was shown it. Milliseconds. */
  readonly #shownAt: Float64Array;
  /** Pieces that were shown and that nobody has told of yet; true: some of it was sent. */
  readonly #fetched = new Map<number, boolean>();
  readonly #firstPieceCopies: number;
  /** No piece below it is without a copy. */
  #firstUncopied = 0;
  /** No piece from it on is available. */
  #endOfAvailable = 0;
  /** Before this time no piece has been without a second copy for too long. Milliseconds. */
  #nextDueAt = 0;

  constructor(pieces: number) {
    this.#available = new Bitfield(pieces);
    this.#copies = new Uint16Array(pieces);
    this.#shownAt = new Float64Array(pieces);
    this.#firstPieceCopies = Math.min(FIRST_PIECE_COPIES, 1 + Math.floor(pieces / PIECES_PER_COPY));
  }

  /** The source can give `index` from now on. */
  available(index: number): void {
    this.#available.add(index);
    this.#endOfAvailable = Math.max(this.#endOfAvailable, index + 1);
  }

  join(peer: Peer): void {
    const pieces = this.#available.length;
    this.#receivers.set(peer, {
      pieces: new Bitfield(pieces),
      granted: new Map(),
      shown: new Bitfield(pieces),
    });
  }

  leave(peer: Peer): void {
    const receiver = this.#receivers.get(peer);
    if (!receiver) return;
    this.#receivers.delete(peer);
    for (let index = 0; index < this.#available.length; index++) {
      if (receiver.pieces.has(index) || receiver.granted.has(index)) this.#uncopy(index);
    }
  }

  /** The peer says that it has `index`. True if it was given that: it may be shown another at once. */
  has(peer: Peer, index: number): boolean {
    const receiver = this.#receivers.get(peer);
    if (!receiver?.pieces.add(index)) return false;
    this.#fetched.delete(index);
    const grant = receiver.granted.get(index);
    if (grant) {
      receiver.granted.delete(index);
      return grant.begun;
    }
    this.#copies[index]!++;
    this.#nextDueAt = 0;
    return false;
  }

  /**
   * The pieces to show `peer` now.
   * @param bytesPerSecond what was sent to it lately
   * @param pieceLength bytes
   * @param now milliseconds
   */
  grant(peer: Peer, bytesPerSecond: number, pieceLength: number, now: number): number[] {
    const receiver = this.#receivers.get(peer);
    if (!receiver) return [];
    const ahead = Math.ceil((bytesPerSecond * GRANT_SECONDS) / pieceLength);
    const most = Math.min(MAX_GRANTS, Math.max(MIN_GRANTS, ahead));
    const shown: number[] = [];
    while (receiver.granted.size < most) {
      const index = this.#nextFor(receiver, now);
      if (index === undefined) break;
      shown.push(index);
      this.#show(receiver, index, now);
    }
    return shown;
  }

  /** Some of `index` is sent to the peer. It fetches one piece after the other: the others that it was shown wait for that. */
  sent(peer: Peer, index: number, now: number): void {
    const granted = this.#receivers.get(peer)?.granted;
    const grant = granted?.get(index);
    if (!granted || !grant) return;
    grant.begun = true;
    if (this.#fetched.has(index)) this.#fetched.set(index, true);
    for (const [shown, { at }] of granted) if (now - at < LONGEST_FETCH_MS) this.#shownAt[shown] = now;
  }

  /**
   * The peer asks for `index` by name. False if it cannot be shown, was shown already or may come from another soon; once all of the
   * blob is given out the source has time for what only one has.
   */
  want(peer: Peer, index: number, now: number): boolean {
    const receiver = this.#receivers.get(peer);
    if (!receiver) return false;
    // It has it no more: whose disk is full keeps a piece only until it has been read.
    if (receiver.pieces.remove(index)) this.#uncopy(index);
    if (!this.#mayShow(receiver, index)) return false;
    const mayComeSoon = this.#copies[index]! > 0 && now < this.#shownAt[index]! + WANT_GRACE_MS;
    if (mayComeSoon && (this.#copies[index]! > 1 || !this.#isGivenOut)) return false;
    this.#show(receiver, index, now);
    return true;
  }

  #nextFor(receiver: Receiver, now: number): number | undefined {
    if (this.#copies[0]! < this.#firstPieceCopies && this.#mayShow(receiver, 0)) return 0;
    const end = this.#endOfAvailable;
    for (let index = this.#lowestUncopied(); index < end; index++) {
      if (this.#copies[index] === 0 && this.#mayShow(receiver, index)) return index;
    }
    return this.#nextUnreplicated(receiver, now);
  }

  /** Some of each piece was sent to somebody; of a small blob that says little, for each waits for each piece. */
  get #isGivenOut(): boolean {
    if (this.#available.length < PIECES_PER_COPY) return false;
    for (const begun of this.#fetched.values()) if (!begun) return false;
    return this.#lowestUncopied() === this.#available.length;
  }

  /** The first piece without a copy; the number of pieces where each has one. */
  #lowestUncopied(): number {
    while (this.#firstUncopied < this.#endOfAvailable && this.#copies[this.#firstUncopied]! > 0)
      this.#firstUncopied++;
    return this.#firstUncopied;
  }

  /** A piece that one peer of several was shown long ago, or has, and no other. */
  #nextUnreplicated(receiver: Receiver, now: number): number | undefined {
    if (this.#receivers.size < 2 || now < this.#nextDueAt) return undefined;
    let nextDueAt = Infinity;
    for (let index = 0; index < this.#endOfAvailable; index++) {
      if (this.#copies[index] !== 1) continue;
      const dueAt = this.#shownAt[index]! + UNREPLICATED_MS;
      if (dueAt <= now && this.#mayShow(receiver, index)) return index;
      nextDueAt = Math.min(nextDueAt, dueAt);
    }
    this.#nextDueAt = nextDueAt;
    return undefined;
  }

  #mayShow(receiver: Receiver, index: number): boolean {
    return this.#available.has(index) && !receiver.pieces.has(index) && !receiver.shown.has(index);
  }

  #show(receiver: Receiver, index: number, now: number): void {
    receiver.shown.add(index);
    receiver.granted.set(index, { at: now, begun: false });
    if (this.#copies[index]!++ === 0) this.#fetched.set(index, false);
    this.#shownAt[index] = now;
    this.#nextDueAt = Math.min(this.#nextDueAt, now + UNREPLICATED_MS);
  }

  #uncopy(index: number): void {
    this.#copies[index]!--;
    this.#nextDueAt = 0;
    if (this.#copies[index]! > 0) return;
    this.#firstUncopied = Math.min(this.#firstUncopied, index);
    this.#fetched.delete(index);
  }
}

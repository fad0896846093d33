import { Bitfield } from './bitfield.ts';

/** Pieces that a peer may have been shown and not yet been sent, whatever its speed. */
export const MIN_GRANTS = 2;

/** No peer is shown more than this many pieces ahead, however fast it is. */
export const MAX_GRANTS = 32;

/** A peer is shown as many pieces as it takes in this many seconds at the rate it had lately. */
export const GRANT_SECONDS = 0.1;

/** A piece that its only holder has not passed on for this long is shown to another peer. Milliseconds. */
export const UNREPLICATED_MS = 3_000;

interface Receiver {
  /** What the peer has, by its own word. */
  readonly pieces: Bitfield;
  /** What it was shown and has not announced yet, with the time it was shown at. */
  readonly granted: Map<number, number>;
  readonly shown: Bitfield;
}

/**
 * Whom the first source of a blob shows which piece: each piece to one peer, in order, waiting for no
 * confirmation; again only when its holder is gone, when nobody else has it after a while, or when a peer asks
 * for it by name. (BEP 16 super-seeding waits until a piece has been passed on before it shows the next.)
 */
export class Distribution<Peer> {
  readonly #available: Bitfield;
  readonly #receivers = new Map<Peer, Receiver>();
  /** Peers connected that have or were shown each piece. */
  readonly #copies: Uint16Array;
  readonly #announced: Uint16Array;
  readonly #shownAt: Float64Array;
  /** No piece below it is without a copy. */
  #firstUncopied = 0;
  /** No piece from it on is available. */
  #endOfAvailable = 0;

  constructor(pieces: number) {
    this.#available = new Bitfield(pieces);
    this.#copies = new Uint16Array(pieces);
    this.#announced = new Uint16Array(pieces);
    this.#shownAt = new Float64Array(pieces);
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
      if (receiver.pieces.has(index)) this.#announced[index]!--;
      else if (!receiver.granted.has(index)) continue;
      this.#uncopy(index);
    }
  }

  /** The peer says that it has `index`. */
  has(peer: Peer, index: number): void {
    const receiver = this.#receivers.get(peer);
    if (!receiver?.pieces.add(index)) return;
    this.#announced[index]!++;
    if (!receiver.granted.delete(index)) this.#copies[index]!++;
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
    const room = Math.min(MAX_GRANTS, Math.max(MIN_GRANTS, ahead)) - receiver.granted.size;
    const shown: number[] = [];
    for (let index = this.#nextFor(receiver, now); shown.length < room && index !== undefined;) {
      shown.push(index);
      this.#show(receiver, index, now);
      index = this.#nextFor(receiver, now);
    }
    return shown;
  }

  /** The peer asks for `index` by name. False if it cannot be shown or was shown already. */
  want(peer: Peer, index: number, now: number): boolean {
    const receiver = this.#receivers.get(peer);
    if (!receiver || !this.#mayShow(receiver, index)) return false;
    this.#show(receiver, index, now);
    return true;
  }

  #nextFor(receiver: Receiver, now: number): number | undefined {
    const end = this.#endOfAvailable;
    while (this.#firstUncopied < end && this.#copies[this.#firstUncopied]! > 0) this.#firstUncopied++;
    for (let index = this.#firstUncopied; index < end; index++) {
      if (this.#copies[index] === 0 && this.#mayShow(receiver, index)) return index;
    }
    return this.#nextUnreplicated(receiver, now);
  }

  /** A piece that one peer was shown long ago and that nobody has announced, or only that one peer of several. */
  #nextUnreplicated(receiver: Receiver, now: number): number | undefined {
    if (this.#receivers.size < 2) return undefined;
    for (let index = 0; index < this.#firstUncopied; index++) {
      const alone = this.#copies[index] === 1 && this.#announced[index]! <= 1;
      if (alone && now - this.#shownAt[index]! >= UNREPLICATED_MS && this.#mayShow(receiver, index))
        return index;
    }
    return undefined;
  }

  #mayShow(receiver: Receiver, index: number): boolean {
    return this.#available.has(index) && !receiver.pieces.has(index) && !receiver.shown.has(index);
  }

  #show(receiver: Receiver, index: number, now: number): void {
    receiver.shown.add(index);
    receiver.granted.set(index, now);
    this.#copies[index]!++;
    this.#shownAt[index] = now;
  }

  #uncopy(index: number): void {
    this.#copies[index]!--;
    if (this.#copies[index] === 0) this.#firstUncopied = Math.min(this.#firstUncopied, index);
  }
}

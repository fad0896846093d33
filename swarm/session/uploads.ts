import { CHOKE_INTERVAL_MS, chooseUnchoked, UPLOAD_SLOTS } from '#swarm/core/choker.ts';
import type { Distribution } from '#swarm/core/distribution.ts';
import type { Block, PieceTable } from '#swarm/core/piece-table.ts';
import { takeRarest } from '#swarm/core/upload-queue.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { PeerSession } from './peer-session.ts';
import type { PieceBytes } from './piece-memory.ts';
import type { PieceStorage } from './piece-storage.ts';

interface UploadParts {
  readonly table: PieceTable;
  readonly storage: PieceStorage;
  readonly bandwidth: Bandwidth;
  /** An origin shows each piece but the first to one peer; undefined: everybody is told of every piece. */
  readonly distribution: Distribution<PeerSession> | undefined;
  readonly now: () => number;
  readonly random: () => number;
  readonly peers: () => Iterable<PeerSession>;
  /** Whether a held piece may go to peers. */
  readonly shareable: (index: number) => boolean;
  readonly unreadable: (index: number, error: unknown) => void;
  readonly sent: (peer: PeerSession, bytes: number) => void;
}

/** Serves peers: who may ask, who is shown what, and the blocks themselves, rarest piece first. */
export class Uploads {
  readonly #parts: UploadParts;
  readonly #flow: string;
  #chosenAt = -Infinity;
  #turn = 0;

  constructor(parts: UploadParts, flow: string) {
    this.#parts = parts;
    this.#flow = flow;
  }

  /** Tells a new peer what there is. A member that has called wants it, which it need not say before it may ask. */
  greet(peer: PeerSession): void {
    this.#parts.distribution?.join(peer);
    this.#tellHeld(peer);
    if (peer.wire.member && !peer.wire.outgoing) peer.onInterested();
    else this.#show(peer);
  }

  #tellHeld(peer: PeerSession): void {
    const { table, distribution, shareable } = this.#parts;
    if (distribution) {
      if (peer.wire.fast) peer.wire.haveNone();
      return;
    }
    const shared = [...table.held].filter((index) => shareable(index));
    if (peer.wire.fast && shared.length === table.count) return peer.wire.haveAll();
    if (peer.wire.fast && shared.length === 0) return peer.wire.haveNone();
    const bits = new Uint8Array(table.held.bytes.length);
    for (const index of shared) bits[index >> 3]! |= 0x80 >> (index & 7);
    peer.wire.bitfield(bits);
  }

  /**
   * A piece may go to peers from now on.
   * @param rare no other peer may have it: they are told at once, else with what is sent to them next
   */
  announce(index: number, rare: boolean): void {
    const { distribution, peers } = this.#parts;
    if (distribution) {
      distribution.available(index);
      return this.#showAll();
    }
    for (const peer of peers()) peer.tell(index, rare);
  }

  peerHas(peer: PeerSession, index: number): void {
    if (this.#parts.distribution?.has(peer, index)) this.#show(peer);
  }

  leave(peer: PeerSession): void {
    this.#parts.distribution?.leave(peer);
  }

  /** A peer that is starved, or has lost the piece, asks for it by name. */
  want(peer: PeerSession, index: number): void {
    const { distribution, now, table, shareable } = this.#parts;
    const shows = distribution
      ? distribution.want(peer, index, now())
      : table.held.has(index) && shareable(index);
    if (shows) peer.wire.have(index);
  }

  /** Somebody became interested or lost interest. */
  interest(peer: PeerSession): void {
    if (!peer.peerInterested) return peer.setChoking(true);
    if (this.#hasFreeSlot()) peer.setChoking(false);
    this.#show(peer);
  }

  tick(now: number): void {
    if (now - this.#chosenAt >= CHOKE_INTERVAL_MS) this.choose(now);
    if (this.#parts.distribution) this.#showAll();
    for (const peer of this.#parts.peers()) peer.sendNews();
  }

  choose(now: number): void {
    this.#chosenAt = now;
    const peers = [...this.#parts.peers()];
    const chosen = chooseUnchoked(
      peers.map((peer) => ({
        peer,
        interested: peer.peerInterested,
        sent: peer.sentSinceChoice,
        pieces: peer.pieces.count,
      })),
      this.#parts.random,
    );
    for (const peer of peers) {
      peer.sentSinceChoice = 0;
      peer.setChoking(!chosen.has(peer));
      this.#show(peer);
    }
  }

  #hasFreeSlot(): boolean {
    let served = 0;
    for (const peer of this.#parts.peers()) if (!peer.choking) served++;
    return served < UPLOAD_SLOTS;
  }

  /** Sends what `peer` waits for, as much as its connection takes. */
  serve(peer: PeerSession): void {
    while (peer.queue.length > 0 && !peer.serving && !peer.full && !peer.closed) {
      const { table, shareable, bandwidth } = this.#parts;
      const block = takeRarest(peer.queue, table.availability);
      if (!table.valid(block))
        return peer.wire.close(new Error(`request outside the blob: ${JSON.stringify(block)}`));
      if (!table.held.has(block.index) || !shareable(block.index)) {
        peer.wire.reject(block);
        continue;
      }
      peer.serving = true;
      let atOnce = true;
      bandwidth.pass(this.#flow, block.length, () => {
        if (peer.closed) return 0;
        this.#send(peer, block);
        if (!atOnce) this.serve(peer);
        return block.length;
      });
      atOnce = false;
    }
  }

  #send(peer: PeerSession, block: Block): void {
    const piece = this.#parts.storage.readBlock(block);
    if (!(piece instanceof Promise)) return this.#sent(peer, block, piece);
    piece.then(
      (read) => {
        this.#sent(peer, block, read);
        this.serve(peer);
      },
      (error: unknown) => {
        // Its connection may have been closed together with the files.
        if (peer.closed) return;
        peer.serving = false;
        peer.wire.reject(block);
        this.#parts.unreadable(block.index, error);
        this.serve(peer);
      },
    );
  }

  #sent(peer: PeerSession, block: Block, piece: PieceBytes): void {
    peer.serving = false;
    peer.sendBlock(block, piece);
    this.#parts.sent(peer, block.length);
    this.#parts.distribution?.sent(peer, block.index, this.#parts.now());
    this.#show(peer);
  }

  /** New pieces go round: who was shown one last is offered the next one last. */
  #showAll(): void {
    const peers = [...this.#parts.peers()];
    if (peers.length === 0) return;
    this.#turn = (this.#turn + 1) % peers.length;
    for (let at = 0; at < peers.length; at++) this.#show(peers[(this.#turn + at) % peers.length]!);
  }

  #show(peer: PeerSession): void {
    const { distribution, table, now } = this.#parts;
    // A stock client shows interest only in what it was shown, and is unchoked only then.
    if (!distribution || (peer.wire.member && (!peer.peerInterested || peer.choking))) return;
    const rate = peer.sent.perSecond(now());
    for (const index of distribution.grant(peer, rate, table.pieceLength, now())) peer.wire.have(index);
  }
}

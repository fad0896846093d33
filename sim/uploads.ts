import { CHOKE_INTERVAL_MS, chooseUnchoked, UPLOAD_SLOTS } from '#swarm/core/choker.ts';
import { Distribution } from '#swarm/core/distribution.ts';
import type { Block } from '#swarm/core/piece-table.ts';
import { takeRarest } from '#swarm/core/upload-queue.ts';
import type { SimPeer } from './peer.ts';
import type { SimTorrent } from './torrent.ts';

/** Mirrors `swarm/session/uploads.ts`: who may ask, who is shown what, and the blocks themselves. */
export class SimUploads {
  readonly #torrent: SimTorrent;
  readonly #peers: readonly SimPeer[];
  /** An origin's: each piece but the first is shown to one peer. */
  readonly #distribution: Distribution<SimPeer> | undefined;
  /** Peers by how far they are away. Milliseconds. */
  readonly #byDistance = new Map<number, SimPeer[]>();
  #chosenAt = -Infinity;
  #turn = 0;

  constructor(torrent: SimTorrent) {
    this.#torrent = torrent;
    this.#peers = torrent.connections.peers;
    const showsEach = torrent.host.role === 'origin';
    this.#distribution = showsEach ? new Distribution<SimPeer>(torrent.table.count) : undefined;
  }

  /** Tells a new peer what there is. */
  greet(peer: SimPeer): void {
    const equallyFar = this.#byDistance.get(peer.delayMs);
    if (equallyFar) equallyFar.push(peer);
    else this.#byDistance.set(peer.delayMs, [peer]);
    const { held } = this.#torrent.table;
    if (this.#distribution) {
      this.#distribution.join(peer);
      this.#show(peer);
    } else if (held.count > 0) {
      const pieces = [...held];
      peer.tell((far) => far.torrent.told(far, pieces));
    }
  }

  /** Tells all of a piece: one event for all who are equally far, for there are many. */
  announce(index: number): void {
    if (this.#distribution) {
      this.#distribution.available(index);
      return this.#showAll();
    }
    const { clock } = this.#torrent.world;
    for (const [delayMs, peers] of this.#byDistance)
      clock.after(delayMs, () => this.#deliverHaves(index, peers));
  }

  peerHas(peer: SimPeer, index: number): void {
    if (this.#distribution?.has(peer, index)) this.#show(peer);
  }

  leave(peer: SimPeer): void {
    const equallyFar = this.#byDistance.get(peer.delayMs)!;
    equallyFar.splice(equallyFar.indexOf(peer), 1);
    this.#distribution?.leave(peer);
  }

  /** A peer that is starved asks for a piece by name. */
  want(peer: SimPeer, index: number): void {
    if (this.#distribution?.want(peer, index, this.#torrent.world.clock.now)) this.#have(peer, index);
  }

  interest(peer: SimPeer): void {
    if (!peer.peerInterested) return peer.setChoking(true);
    const served = this.#peers.reduce((sum, { choking }) => sum + (choking ? 0 : 1), 0);
    if (served < UPLOAD_SLOTS) peer.setChoking(false);
    this.#show(peer);
  }

  tick(now: number): void {
    if (now - this.#chosenAt >= CHOKE_INTERVAL_MS) this.#choose(now);
    if (this.#distribution) this.#showAll();
  }

  /** Requests have come. */
  requested(peer: SimPeer, blocks: readonly Block[]): void {
    if (peer.choking) return this.#reject(peer, blocks);
    peer.queue.push(...blocks);
    this.#serve(peer);
  }

  /** The block that was being sent has left, at that time. */
  passed(peer: SimPeer, at: number): void {
    const block = peer.sending!;
    peer.sending = undefined;
    this.#torrent.world.clock.at(at + peer.delayMs, () => {
      if (!peer.other.closed && !peer.silent) peer.other.torrent.arrived(peer.other, block);
    });
    this.#serve(peer);
  }

  #choose(now: number): void {
    this.#chosenAt = now;
    const candidates = this.#peers.map((peer) => ({
      peer,
      interested: peer.peerInterested,
      sent: peer.sentSinceChoice,
      pieces: peer.pieces.count,
    }));
    const chosen = chooseUnchoked(candidates, this.#torrent.world.random);
    for (const peer of this.#peers) {
      peer.sentSinceChoice = 0;
      peer.setChoking(!chosen.has(peer));
      this.#show(peer);
    }
  }

  #serve(peer: SimPeer): void {
    const { table, world } = this.#torrent;
    while (peer.queue.length > 0 && !peer.sending && !peer.closed) {
      const block = takeRarest(peer.queue, table.availability);
      if (!table.held.has(block.index)) {
        this.#reject(peer, [block]);
        continue;
      }
      peer.sending = block;
      peer.sent?.add(block.length, world.clock.now);
      peer.sentSinceChoice += block.length;
      this.#distribution?.sent(peer, block.index, world.clock.now);
      world.fluid.start(peer.flow, block.length);
      this.#show(peer);
    }
  }

  #reject(peer: SimPeer, blocks: readonly Block[]): void {
    peer.tell((far) => {
      for (const block of blocks) far.torrent.downloads.rejected(far, block);
    });
  }

  /** Step by step for all peers, not peer by peer: their memory, spread wide, is fetched at the same time then. */
  #deliverHaves(index: number, peers: readonly SimPeer[]): void {
    // An origin shows the next piece to who has taken the last.
    const told = peers.filter(
      ({ silent, pieces, host }) => !silent && (!pieces.has(index) || host.role === 'origin'),
    );
    this.#torrent.host.messages += told.length;
    const news = told.filter(({ other }) => other.torrent.note(other, index));
    for (const { other } of news) other.torrent.welcome(other, index);
  }

  #have(peer: SimPeer, index: number): void {
    peer.tell((far) => far.torrent.told(far, [index]));
  }

  /** New pieces go round: who was shown one last is offered the next one last. */
  #showAll(): void {
    if (this.#peers.length === 0) return;
    this.#turn = (this.#turn + 1) % this.#peers.length;
    for (let at = 0; at < this.#peers.length; at++) {
      this.#show(this.#peers[(this.#turn + at) % this.#peers.length]!);
    }
  }

  #show(peer: SimPeer): void {
    if (!this.#distribution || !peer.peerInterested || peer.choking) return;
    const { world, table } = this.#torrent;
    const { now } = world.clock;
    const rate = peer.sent?.perSecond(now) ?? 0;
    for (const index of this.#distribution.grant(peer, rate, table.pieceLength, now)) this.#have(peer, index);
  }
}

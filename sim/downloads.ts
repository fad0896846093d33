import { firstOfEquals, pickBlock, pickRescue, pickTail, type PickOptions } from '#swarm/core/picker.ts';
import { UNIT_LENGTH } from '#swarm/core/piece-length.ts';
import type { Block, PieceTable } from '#swarm/core/piece-table.ts';
import { ZoneImports } from '#swarm/core/zone-imports.ts';
import {
  REQUEST_TIMEOUT_MS,
  RESCUE_AFTER_MS,
  RESCUE_LATEST_MS,
  SNUB_MS,
  WANT_AFTER_MS,
} from '#swarm/session/defaults.ts';
import type { SimPeer } from './peer.ts';
import type { SimTorrent } from './torrent.ts';

/** Mirrors `swarm/session/downloads.ts`: asks peers for blocks, as `swarm/core`'s picker says. */
export class SimDownloads {
  readonly #torrent: SimTorrent;
  readonly #table: PieceTable;
  readonly #peers: readonly SimPeer[];
  readonly #pick: PickOptions;
  readonly #pickInOrder: PickOptions;
  readonly #pickFar: PickOptions;
  readonly #imports: ZoneImports;
  /** Pieces of which a block was asked of two peers. */
  readonly #doubled = new Set<number>();
  /** Goes up when blocks can be asked for that could not before, whoever has them. */
  #freed = 0;

  constructor(torrent: SimTorrent) {
    this.#torrent = torrent;
    this.#table = torrent.table;
    this.#peers = torrent.connections.peers;
    this.#pick = { cursors: torrent.cursors, windowOnly: false, random: torrent.world.random };
    this.#pickInOrder = { ...this.#pick, random: firstOfEquals };
    this.#imports = new ZoneImports(torrent.host.id, this.#table.count);
    this.#pickFar = { ...this.#pick, accepts: (index) => this.#imports.admits(index) };
  }

  /** Asks `peer` for as much as its speed is worth. */
  fill(peer: SimPeer): void {
    if (peer.emptyAt === this.#freed && !this.#table.allTaken) return;
    if (this.#mayAsk(peer)) this.#ask(peer);
  }

  #ask(peer: SimPeer): void {
    const blocks: Block[] = [];
    do {
      const block = pickBlock(this.#table, peer, this.#optionsFor(peer));
      if (!block) {
        peer.emptyAt = this.#freed;
        break;
      }
      this.#request(peer, block);
      blocks.push(block);
    } while (this.#mayAsk(peer));
    // Requests that are made at once leave in one packet.
    if (blocks.length > 0) peer.tell((far) => far.torrent.uploads.requested(far, blocks));
  }

  #optionsFor({ host }: SimPeer): PickOptions {
    if (host.role === 'origin') return this.#pickInOrder;
    return host.zone === this.#torrent.host.zone ? this.#pick : this.#pickFar;
  }

  fillAll(): void {
    for (const peer of this.#peers) this.fill(peer);
  }

  /** The far side has one more piece. @returns whether it is of use here; to an origin, all that a peer has is */
  gained(peer: SimPeer, index: number): boolean {
    const table = this.#table;
    table.peerHas(index);
    if (table.held.has(index)) return peer.sent !== undefined;
    if (peer.emptyAt === this.#freed && table.active.get(index)?.free !== 0) peer.emptyAt = -1;
    return true;
  }

  /** A block has come. @returns whether it was still missing, and all of its piece is there now */
  arrived(peer: SimPeer, block: Block): { wanted: boolean; whole: boolean } {
    const table = this.#table;
    const wanted = peer.settle(block) && table.active.has(block.index) && !table.hasArrived(block);
    if (!wanted) return { wanted, whole: false };
    const { now } = this.#torrent.world.clock;
    peer.snubbedUntil = 0;
    peer.heardAt = now;
    peer.received.add(block.length, now);
    return { wanted, whole: table.arrived(block) };
  }

  /** The piece is here: nobody else has to send it. */
  settled(index: number): void {
    if (this.#doubled.delete(index)) for (const peer of this.#peers) peer.cancelPiece(index);
  }

  rejected(peer: SimPeer, block: Block): void {
    if (!peer.settle(block)) return;
    if (!peer.choked && peer.pieces.remove(block.index)) this.#table.peerLacks(block.index);
    this.abandon([block]);
    this.fillAll();
  }

  /** These will not come from whom they were asked of. */
  abandon(blocks: readonly Block[]): void {
    for (const block of blocks) this.#table.abandoned(block);
    if (blocks.length > 0) this.#freed++;
  }

  /** Takes back what does not come, and helps a reader that has waited so long. */
  tick(now: number, waitedMs: number): void {
    this.shareImports(waitedMs);
    for (const peer of this.#peers) {
      if (peer.outstanding.length === 0 || peer.heardAt >= now - REQUEST_TIMEOUT_MS) continue;
      if (isSending(peer)) continue;
      peer.snubbedUntil = now + SNUB_MS;
      this.abandon(peer.takeBack());
    }
    const index = this.#torrent.awaited;
    if (waitedMs >= WANT_AFTER_MS && this.#table.availability[index] === 0) this.#wantFromOrigins(index);
    else if (this.#isLate(index, waitedMs) && !this.#rescue(index)) this.#wantFromOrigins(index);
    this.fillAll();
    for (const peer of this.#peers) this.#wantTail(peer, now);
  }

  /** Mirrors `#wantTail`. */
  #wantTail(peer: SimPeer, now: number): void {
    if (peer.host.role !== 'origin' || peer.outstanding.length > 0 || !this.#mayAsk(peer)) return;
    const source = { pieces: peer.pieces, rate: peer.received.perSecond(now), wanted: peer.wantedLast };
    const tail = pickTail(this.#table, source, (index) => this.#imports.admits(index));
    if (tail.length > 0) this.#want(peer, tail);
  }

  #want(peer: SimPeer, pieces: readonly number[]): void {
    peer.wantedLast = pieces.at(-1)!;
    peer.tell((far) => {
      for (const index of pieces) far.torrent.uploads.want(far, index);
    });
  }

  /** Mirrors `#shareImports`. */
  shareImports(waitedMs: number): void {
    const { host, awaited, world } = this.#torrent;
    if (host.zone === undefined) return;
    const neighbours = this.#peers
      .filter((peer) => peer.host.role === 'agent' && peer.host.zone === host.zone)
      .filter((peer) => peer.peerInterested && !peer.pieces.full)
      .map((peer) => ({ id: peer.host.id, pieces: peer.pieces }));
    const overdue = new Set(waitedMs >= RESCUE_AFTER_MS ? [awaited] : []);
    const held = this.#table.held.count;
    if (this.#imports.update({ neighbours, overdue, held }, world.clock.now)) this.#freed++;
  }

  #isLate(index: number, waitedMs: number): boolean {
    if (waitedMs < RESCUE_AFTER_MS) return false;
    const isSendingIt = (peer: SimPeer): boolean =>
      isSending(peer) && peer.outstanding.some((block) => block.index === index);
    return waitedMs >= RESCUE_LATEST_MS || !this.#peers.some(isSendingIt);
  }

  #mayAsk(peer: SimPeer): boolean {
    return (
      !peer.closed &&
      !peer.choked &&
      peer.snubbedUntil <= this.#torrent.world.clock.now &&
      this.#torrent.wanted &&
      !peer.saturated
    );
  }

  #request(peer: SimPeer, block: Block): void {
    if (this.#table.active.get(block.index)!.units[block.offset / UNIT_LENGTH]! > 0)
      this.#doubled.add(block.index);
    this.#table.requested(block);
    peer.request(block);
  }

  #wantFromOrigins(index: number): void {
    for (const peer of this.#peers) {
      if (peer.host.role === 'origin') this.#want(peer, [index]);
    }
  }

  #rescue(index: number): boolean {
    for (const peer of this.#peers) {
      const block = this.#mayAsk(peer) ? pickRescue(this.#table, peer, index) : undefined;
      if (!block) continue;
      this.#request(peer, block);
      peer.tell((far) => far.torrent.uploads.requested(far, [block]));
      return true;
    }
    return false;
  }
}

/** Bytes of a block are on their way from it. */
function isSending(peer: SimPeer): boolean {
  return !peer.silent && peer.other.sending !== undefined;
}

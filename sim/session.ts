/**
 * What `swarm/session` does around the decisions of `swarm/core`, without sockets, bytes and hashes. This file mirrors
 * `peer-session.ts`, `torrent.ts`, `connections.ts`, `downloads.ts` and `uploads.ts` line by line where they decide
 * when a decision is asked for; a change there is a change here. Left out: strangers, hashes, limits on bandwidth,
 * the disk, bans.
 */
import { Bitfield } from '#swarm/core/bitfield.ts';
import { CHOKE_INTERVAL_MS, chooseUnchoked, UPLOAD_SLOTS } from '#swarm/core/choker.ts';
import { Distribution } from '#swarm/core/distribution.ts';
import { UNIT_LENGTH } from '#swarm/core/piece-length.ts';
import { pickBlock } from '#swarm/core/picker.ts';
import { type Block, PieceTable } from '#swarm/core/piece-table.ts';
import { pipelineBytes, Rate } from '#swarm/core/pipeline.ts';
import { Addresses, type DialTarget } from '#swarm/session/addresses.ts';
import {
  MAX_DIALLED_SHARE,
  MAX_DIALS,
  MIN_PEERS,
  MORE_PEERS_LONGEST_MS,
  MORE_PEERS_MS,
  QUIET_MS,
  REQUEST_TIMEOUT_MS,
  RESCUE_AFTER_MS,
  SNUB_MS,
  STARVED_MS,
  WANT_AFTER_MS,
} from '#swarm/session/defaults.ts';
import type { Clock } from './clock.ts';
import type { Flow, Fluid } from './fluid.ts';
import type { SimBlob, SimHost } from './host.ts';

/** What a torrent needs of the world it is in. */
export interface TorrentWorld {
  readonly clock: Clock;
  readonly fluid: Fluid;
  readonly random: () => number;
  /** Bytes of a request. */
  readonly blockLength: number;
  /** Most connections of one torrent; knob `peer.maxPeersPerSwarm`. */
  readonly maxPeers: number;
  /** Whether a host may have one more connection. */
  hasRoom(host: SimHost): boolean;
  /** One way. */
  latencyMs(from: SimHost, to: SimHost): number;
  dial(torrent: SimTorrent, target: DialTarget): void;
  morePeers(torrent: SimTorrent): void;
  /** A block has been taken in; `wanted` false: somebody else had given it before. */
  received(torrent: SimTorrent, from: SimHost, bytes: number, wanted: boolean): void;
  /** The runtime has been given piece `index`. */
  read(torrent: SimTorrent, index: number): void;
  completed(torrent: SimTorrent): void;
  /** A reader has waited so long, as the agent sees it. */
  stalled(torrent: SimTorrent, waitedMs: number): void;
}

/** One end of a connection of one torrent. */
export class SimPeer {
  readonly torrent: SimTorrent;
  /** The far side's. */
  readonly host: SimHost;
  readonly target: DialTarget | undefined;
  readonly outgoing: boolean;
  /** What a message takes to the far side. Milliseconds. */
  readonly delayMs: number;
  readonly pieces: Bitfield;
  readonly blockLength: number;
  readonly received = new Rate();
  readonly sent = new Rate();
  /** What it was asked for and has not sent. */
  readonly outstanding: Block[] = [];
  /** What it asked for and was not sent. */
  readonly queue: Block[] = [];
  readonly flow: Flow;
  other!: SimPeer;
  sending: Block | undefined;
  outstandingBytes = 0;
  choked = true;
  choking = true;
  interested = false;
  peerInterested = false;
  snubbedUntil = 0;
  heardAt = 0;
  usefulAt: number;
  sentSinceChoice = 0;
  closed = false;
  /** Where the picker found nothing for it, and the torrent was like that: it still would not. */
  emptyAt = -1;

  constructor(torrent: SimTorrent, far: SimHost, target: DialTarget | undefined, outgoing: boolean) {
    this.torrent = torrent;
    this.target = target;
    this.outgoing = outgoing;
    this.delayMs = torrent.world.latencyMs(torrent.host, far);
    this.pieces = new Bitfield(torrent.table.count);
    this.blockLength = torrent.world.blockLength;
    this.usefulAt = torrent.world.clock.now;
    this.host = far;
    this.flow = torrent.world.fluid.open(torrent.host.linksTo(far), (at) => torrent.passed(this, at));
  }

  get saturated(): boolean {
    const rate = this.received.perSecond(this.torrent.world.clock.now);
    return this.outstandingBytes >= pipelineBytes(this.blockLength, rate);
  }

  asked(index: number, offset: number): boolean {
    return this.outstanding.some(
      (block) => block.index === index && offset >= block.offset && offset < block.offset + block.length,
    );
  }

  settle(block: Block): boolean {
    const at = this.outstanding.indexOf(block);
    if (at < 0) return false;
    this.outstanding.splice(at, 1);
    this.outstandingBytes -= block.length;
    return true;
  }

  takeBack(): Block[] {
    this.outstandingBytes = 0;
    const blocks = this.outstanding.splice(0);
    for (const block of blocks) this.cancel(block);
    return blocks;
  }

  cancelPiece(index: number): void {
    for (let at = this.outstanding.length - 1; at >= 0; at--) {
      const block = this.outstanding[at]!;
      if (block.index !== index) continue;
      this.settle(block);
      this.cancel(block);
    }
  }

  cancel(block: Block): void {
    this.tell((far) => {
      const at = far.queue.indexOf(block);
      if (at >= 0) far.queue.splice(at, 1);
    });
  }

  setInterested(interested: boolean): void {
    if (this.interested === interested) return;
    this.interested = interested;
    this.tell((far) => {
      far.peerInterested = interested;
      far.torrent.interest(far);
    });
  }

  setChoking(choking: boolean): void {
    if (this.choking === choking) return;
    this.choking = choking;
    const rejected = choking ? this.queue.splice(0) : [];
    this.tell((far) => {
      far.choked = choking;
      if (!choking) return far.torrent.fill(far);
      for (const block of rejected) far.torrent.rejected(far, block);
    });
  }

  /** A message: it arrives after the way's delay, if both ends are still there. */
  tell(act: (far: SimPeer) => void): void {
    const { world, host } = this.torrent;
    host.messages++;
    world.clock.after(this.delayMs, () => {
      if (!this.other.closed && this.host.alive) act(this.other);
    });
  }
}

/** One blob on one host. */
export class SimTorrent {
  readonly host: SimHost;
  readonly blob: SimBlob;
  readonly world: TorrentWorld;
  readonly table: PieceTable;
  readonly peers: SimPeer[] = [];
  readonly addresses: Addresses;
  readonly #distribution: Distribution<SimPeer> | undefined;
  /** The one reader's place. */
  readonly #cursors: number[] = [];
  readonly #pick: { cursors: readonly number[]; windowOnly: boolean; random: () => number };
  #waitingSince = 0;
  #used = false;
  #dialling = 0;
  #dialled = 0;
  #chosenAt = -Infinity;
  #turn = 0;
  #askMoreAt = 0;
  #askMoreWait = MORE_PEERS_MS;
  /** Pieces of which a block was asked of two peers. */
  readonly #doubled = new Set<number>();
  /** Goes up when blocks can be asked for that could not before, whoever has them. */
  #freed = 0;

  constructor(world: TorrentWorld, host: SimHost, blob: SimBlob, complete: boolean) {
    this.world = world;
    this.host = host;
    this.blob = blob;
    this.table = new PieceTable(blob.size);
    this.addresses = new Addresses(world.random);
    this.#distribution = host.role === 'origin' ? new Distribution<SimPeer>(this.table.count) : undefined;
    this.#pick = { cursors: this.#cursors, windowOnly: false, random: world.random };
    if (!complete) return;
    this.table.held.fill();
    for (let index = 0; index < this.table.count; index++) this.#distribution?.available(index);
  }

  get wanted(): boolean {
    return this.#used && !this.table.complete;
  }

  /** A runtime reads it from its start to its end. */
  read(): void {
    if (this.#used) return;
    this.#used = true;
    this.#cursors.push(0);
    this.#waitingSince = this.world.clock.now;
    this.#startDownload();
  }

  /** A whole piece from upstream. */
  supply(index: number): void {
    if (!this.table.held.has(index)) this.#hold(index);
  }

  offer(target: DialTarget): void {
    this.addresses.add(target);
    if (this.wanted) this.#dial();
  }

  /** Whether a new connection would be kept; one that crossed it is closed then. */
  welcome(far: SimHost, outgoing: boolean): boolean {
    const known = this.peers.find((peer) => peer.host === far);
    if (!known) return this.peers.length < this.world.maxPeers && this.world.hasRoom(this.host);
    if (outgoing === known.outgoing) return false;
    return outgoing === this.host.id < far.id;
  }

  attach(peer: SimPeer): void {
    const known = this.peers.find(({ host }) => host === peer.host);
    if (known) closeConnection(known);
    this.peers.push(peer);
    if (peer.target) {
      this.#dialled++;
      this.addresses.connected(peer.target);
    }
    this.#greet(peer);
  }

  dialEnded(failed: DialTarget | undefined): void {
    this.#dialling--;
    if (failed) this.addresses.failed(failed, this.world.clock.now);
  }

  drop(peer: SimPeer): void {
    peer.closed = true;
    this.world.fluid.close(peer.flow);
    this.peers.splice(this.peers.indexOf(peer), 1);
    if (peer.target) {
      this.#dialled--;
      this.addresses.failed(peer.target, this.world.clock.now);
    }
    const lost = peer.outstanding.splice(0);
    this.#abandon(lost);
    this.table.peerGone(peer.pieces);
    this.#distribution?.leave(peer);
    if (lost.length > 0) this.#fillAll();
  }

  /** Of an engine's clock. */
  tick(): void {
    const { now } = this.world.clock;
    if (now - this.#chosenAt >= CHOKE_INTERVAL_MS) this.#choose();
    if (this.#distribution) this.#showAll();
    this.#closeQuiet(now);
    if (!this.wanted) return;
    this.#tickDownloads(now);
    this.#dial();
    const waitedMs = now - this.#waitingSince;
    this.world.stalled(this, waitedMs);
    if (this.peers.length < MIN_PEERS || waitedMs >= STARVED_MS) this.#askMore(now);
  }

  // Downloads

  fill(peer: SimPeer): void {
    if (peer.emptyAt === this.#freed && !this.#endgame) return;
    const blocks: Block[] = [];
    while (this.#mayAsk(peer)) {
      const block = pickBlock(this.table, peer, this.#pick);
      if (!block) {
        peer.emptyAt = this.#freed;
        break;
      }
      blocks.push(block);
      this.#request(peer, block);
    }
    // Requests that are made at once leave in one packet.
    if (blocks.length > 0) peer.tell((far) => far.torrent.requested(far, blocks));
  }

  rejected(peer: SimPeer, block: Block): void {
    if (!peer.settle(block)) return;
    if (!peer.choked && peer.pieces.remove(block.index)) this.table.peerLacks(block.index);
    this.#abandon([block]);
    this.#fillAll();
  }

  /** The far side has one more piece. */
  gained(peer: SimPeer, index: number): void {
    if (this.#note(peer, index)) this.#welcomeNews(peer);
  }

  /** The far side tells all that it has. */
  introduced(peer: SimPeer, indices: readonly number[]): void {
    let useful = false;
    for (const index of indices) useful = this.#note(peer, index) || useful;
    if (useful) this.#welcomeNews(peer);
  }

  /** @returns whether it is of use here */
  #note(peer: SimPeer, index: number): boolean {
    if (!peer.pieces.add(index)) return false;
    this.table.peerHas(index);
    this.#distribution?.has(peer, index);
    if (this.table.held.has(index)) return false;
    if (this.table.active.get(index)?.free !== 0) peer.emptyAt = -1;
    return true;
  }

  #welcomeNews(peer: SimPeer): void {
    if (!this.wanted) return;
    peer.setInterested(true);
    this.fill(peer);
  }

  /** A block has come. */
  arrived(peer: SimPeer, block: Block): void {
    const { table, world } = this;
    const wanted = peer.settle(block) && table.active.has(block.index) && !table.hasArrived(block);
    world.received(this, peer.host, block.length, wanted);
    if (!wanted) return;
    peer.snubbedUntil = 0;
    peer.heardAt = world.clock.now;
    peer.received.add(block.length, world.clock.now);
    if (table.arrived(block)) this.#hold(block.index);
    this.fill(peer);
  }

  get #endgame(): boolean {
    return this.table.held.count + this.table.active.size >= this.table.count;
  }

  #mayAsk(peer: SimPeer): boolean {
    return (
      !peer.choked &&
      peer.snubbedUntil <= this.world.clock.now &&
      !peer.closed &&
      this.wanted &&
      !peer.saturated
    );
  }

  #request(peer: SimPeer, block: Block): void {
    if (this.table.active.get(block.index)!.units[block.offset / UNIT_LENGTH]! > 0)
      this.#doubled.add(block.index);
    if (peer.outstanding.length === 0) peer.heardAt = this.world.clock.now;
    this.table.requested(block);
    peer.outstanding.push(block);
    peer.outstandingBytes += block.length;
  }

  #fillAll(): void {
    for (const peer of this.peers) this.fill(peer);
  }

  #abandon(blocks: readonly Block[]): void {
    for (const block of blocks) this.table.abandoned(block);
    if (blocks.length > 0) this.#freed++;
  }

  #tickDownloads(now: number): void {
    for (const peer of this.peers) {
      if (peer.outstanding.length === 0 || peer.heardAt >= now - REQUEST_TIMEOUT_MS) continue;
      peer.snubbedUntil = now + SNUB_MS;
      this.#abandon(peer.takeBack());
    }
    const waited = now - this.#waitingSince;
    const index = this.#cursors.at(-1)!;
    if (waited >= WANT_AFTER_MS && this.table.availability[index] === 0) this.#wantFromOrigins(index);
    else if (waited >= RESCUE_AFTER_MS && !this.#rescue(index)) this.#wantFromOrigins(index);
    this.#fillAll();
  }

  #wantFromOrigins(index: number): void {
    for (const peer of this.peers) {
      if (peer.host.role === 'origin') peer.tell((far) => far.torrent.pieceWanted(far, index));
    }
  }

  #rescue(index: number): boolean {
    const piece = this.table.active.get(index);
    if (!piece || piece.free > 0) return false;
    for (const peer of this.peers) {
      if (!this.#mayAsk(peer) || !peer.pieces.has(index)) continue;
      const length = Math.min(peer.blockLength, piece.size);
      let offset = 0;
      const blockAt = (): Block => ({ index, offset, length: Math.min(length, piece.size - offset) });
      while (offset < piece.size && this.table.hasArrived(blockAt())) offset += length;
      if (offset >= piece.size || peer.asked(index, offset)) continue;
      const block = blockAt();
      this.#request(peer, block);
      peer.tell((far) => far.torrent.requested(far, [block]));
      return true;
    }
    return false;
  }

  #hold(index: number): void {
    this.table.hold(index);
    if (this.#doubled.delete(index)) for (const peer of this.peers) peer.cancelPiece(index);
    this.#announce(index);
    if (this.#used) this.#advanceReader();
    if (!this.table.complete) return;
    for (const peer of this.peers) peer.setInterested(false);
    this.world.completed(this);
  }

  /** The last piece is kept from the reader until the whole is there: it waits for what is missing before it. */
  #advanceReader(): void {
    const { count, held, complete } = this.table;
    const readable = (at: number): boolean => held.has(at) && (complete || at < count - 1);
    const from = this.#cursors[0]!;
    let index = from;
    while (index < count && readable(index)) this.world.read(this, index++);
    this.#cursors.length = 0;
    this.#cursors.push(index);
    if (index === count - 1 && held.has(index)) this.#cursors.push(this.#firstMissing);
    if (index === from) return;
    this.#waitingSince = this.world.clock.now;
    this.#fillAll();
  }

  get #firstMissing(): number {
    let index = 0;
    while (this.table.held.has(index)) index++;
    return index;
  }

  // Uploads

  /** Requests have come. */
  requested(peer: SimPeer, blocks: readonly Block[]): void {
    if (peer.choking) return this.#reject(peer, blocks);
    peer.queue.push(...blocks);
    this.#serve(peer);
  }

  interest(peer: SimPeer): void {
    if (!peer.peerInterested) return peer.setChoking(true);
    const served = this.peers.reduce((sum, { choking }) => sum + (choking ? 0 : 1), 0);
    if (served < UPLOAD_SLOTS) peer.setChoking(false);
    this.#show(peer);
  }

  pieceWanted(peer: SimPeer, index: number): void {
    if (this.#distribution?.want(peer, index, this.world.clock.now)) this.#have(peer, index);
  }

  /** The block that was being sent has left. */
  passed(peer: SimPeer, at: number): void {
    const block = peer.sending!;
    peer.sending = undefined;
    const { clock } = this.world;
    clock.at(at + peer.delayMs, () => {
      if (!peer.other.closed && peer.host.alive) peer.other.torrent.arrived(peer.other, block);
    });
    this.#serve(peer);
  }

  #serve(peer: SimPeer): void {
    while (peer.queue.length > 0 && !peer.sending && !peer.closed) {
      const block = this.#takeRarest(peer.queue);
      if (!this.table.held.has(block.index)) {
        this.#reject(peer, [block]);
        continue;
      }
      peer.sending = block;
      peer.sent.add(block.length, this.world.clock.now);
      peer.sentSinceChoice += block.length;
      this.world.fluid.start(peer.flow, block.length);
      this.#show(peer);
    }
  }

  #reject(peer: SimPeer, blocks: readonly Block[]): void {
    peer.tell((far) => {
      for (const block of blocks) far.torrent.rejected(far, block);
    });
  }

  #takeRarest(queue: Block[]): Block {
    const { availability } = this.table;
    let best = 0;
    for (let at = 1; at < queue.length; at++) {
      if (availability[queue[at]!.index]! < availability[queue[best]!.index]!) best = at;
    }
    return queue.splice(best, 1)[0]!;
  }

  #choose(): void {
    this.#chosenAt = this.world.clock.now;
    const candidates = this.peers.map((peer) => ({
      peer,
      interested: peer.peerInterested,
      sent: peer.sentSinceChoice,
      pieces: peer.pieces.count,
    }));
    const chosen = chooseUnchoked(candidates, this.world.random);
    for (const peer of this.peers) {
      peer.sentSinceChoice = 0;
      peer.setChoking(!chosen.has(peer));
    }
  }

  #greet(peer: SimPeer): void {
    if (this.#distribution) {
      this.#distribution.join(peer);
      this.#show(peer);
    } else if (this.table.held.count > 0) {
      const held = [...this.table.held];
      peer.tell((far) => far.torrent.introduced(far, held));
    }
    if (this.wanted) peer.setInterested(true);
  }

  /** Tells all of a piece: one event for all who are equally far, for there are many. */
  #announce(index: number): void {
    if (this.#distribution) {
      this.#distribution.available(index);
      return this.#showAll();
    }
    const delays: number[] = [];
    for (const { delayMs } of this.peers) if (!delays.includes(delayMs)) delays.push(delayMs);
    for (const delayMs of delays) this.world.clock.after(delayMs, () => this.#deliverHaves(index, delayMs));
  }

  #deliverHaves(index: number, delayMs: number): void {
    for (const peer of this.peers) {
      if (peer.delayMs !== delayMs) continue;
      if (peer.host.role !== 'origin' && peer.pieces.has(index)) continue;
      this.host.messages++;
      if (peer.host.alive) peer.other.torrent.gained(peer.other, index);
    }
  }

  #have(peer: SimPeer, index: number): void {
    peer.tell((far) => far.torrent.gained(far, index));
  }

  #showAll(): void {
    if (this.peers.length === 0) return;
    this.#turn = (this.#turn + 1) % this.peers.length;
    for (let at = 0; at < this.peers.length; at++) {
      this.#show(this.peers[(this.#turn + at) % this.peers.length]!);
    }
  }

  #show(peer: SimPeer): void {
    if (!this.#distribution || !peer.peerInterested) return;
    const { now } = this.world.clock;
    const rate = peer.sent.perSecond(now);
    for (const index of this.#distribution.grant(peer, rate, this.table.pieceLength, now)) {
      this.#have(peer, index);
    }
  }

  // Connections

  #startDownload(): void {
    for (const peer of this.peers) peer.setInterested(true);
    this.#dial();
    this.#fillAll();
  }

  #dial(): void {
    const most = Math.ceil(this.world.maxPeers * MAX_DIALLED_SHARE);
    const places = Math.min(MAX_DIALS - this.#dialling, most - this.#dialled - this.#dialling);
    if (places <= 0 || !this.world.hasRoom(this.host)) return;
    const { now } = this.world.clock;
    const connected = (id: string): boolean => this.peers.some((peer) => peer.host.id === id);
    for (const target of this.addresses.take(places, now, connected)) {
      this.#dialling++;
      this.world.dial(this, target);
    }
  }

  #closeQuiet(now: number): void {
    for (const peer of this.peers.slice()) {
      if (peer.interested || peer.peerInterested) peer.usefulAt = now;
      else if (now - peer.usefulAt >= QUIET_MS) closeConnection(peer);
    }
  }

  #askMore(now: number): void {
    if (now < this.#askMoreAt) return;
    this.#askMoreAt = now + this.#askMoreWait * (0.75 + this.world.random() / 2);
    this.#askMoreWait = Math.min(this.#askMoreWait * 2, MORE_PEERS_LONGEST_MS);
    this.world.morePeers(this);
  }
}

/** Both ends go. */
export function closeConnection(peer: SimPeer): void {
  const { other } = peer;
  if (!peer.closed) peer.torrent.drop(peer);
  if (!other.closed) other.torrent.drop(other);
}

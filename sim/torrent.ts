import { type Block, PieceTable } from '#swarm/core/piece-table.ts';
import type { DialTarget } from '#swarm/session/addresses.ts';
import { MIN_PEERS, MORE_PEERS_LONGEST_MS, MORE_PEERS_MS, STARVED_MS } from '#swarm/session/defaults.ts';
import type { Clock } from './clock.ts';
import { SimConnections } from './connections.ts';
import { SimDownloads } from './downloads.ts';
import type { Fluid } from './fluid.ts';
import type { SimBlob, SimHost } from './host.ts';
import type { SimPeer } from './peer.ts';
import { SimUploads } from './uploads.ts';

/** A request that waits: index, offset and length, and its place in a map. */
const BLOCK_BYTES = 32;

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

/** Mirrors `swarm/session/torrent.ts`: one blob on one host, read from start to end by one runtime if at all. */
export class SimTorrent {
  readonly host: SimHost;
  readonly blob: SimBlob;
  readonly world: TorrentWorld;
  readonly table: PieceTable;
  readonly connections: SimConnections;
  readonly downloads: SimDownloads;
  readonly uploads: SimUploads;
  /** The reader's place, and what it waits for where that is the whole. */
  readonly cursors: number[] = [];
  #waitingSince = 0;
  #used = false;
  #askMoreAt = 0;
  #askMoreWait = MORE_PEERS_MS;

  constructor(world: TorrentWorld, host: SimHost, blob: SimBlob, complete: boolean) {
    this.world = world;
    this.host = host;
    this.blob = blob;
    this.table = new PieceTable(blob.size);
    this.connections = new SimConnections(this);
    this.downloads = new SimDownloads(this);
    this.uploads = new SimUploads(this);
    if (!complete) return;
    this.table.held.fill();
    for (const index of this.table.held) this.uploads.announce(index);
  }

  get wanted(): boolean {
    return this.#used && !this.table.complete;
  }

  /** The piece that the reader waits for. */
  get awaited(): number {
    return this.cursors.at(-1)!;
  }

  /** What is remembered of pieces, peers and requests. Bytes. */
  get stateBytes(): number {
    const { held, availability, active } = this.table;
    let bytes = held.bytes.length + availability.byteLength;
    for (const { units } of active.values()) bytes += units.length;
    for (const { pieces, outstanding, queue } of this.connections.peers)
      bytes += pieces.bytes.length + (outstanding.length + queue.length) * BLOCK_BYTES;
    return bytes;
  }

  /** A runtime reads it from its start to its end. */
  read(): void {
    if (this.#used) return;
    this.#used = true;
    this.cursors.push(0);
    this.#waitingSince = this.world.clock.now;
    for (const peer of this.connections.peers) peer.setInterested(true);
    this.connections.dial();
    this.downloads.fillAll();
  }

  /** A whole piece from upstream. */
  supply(index: number): void {
    if (!this.table.held.has(index)) this.#hold(index);
  }

  offer(target: DialTarget): void {
    this.connections.offer(target);
    if (this.wanted) this.connections.dial();
  }

  attach(peer: SimPeer): void {
    this.connections.attach(peer);
    this.downloads.shareImports(0);
    this.uploads.greet(peer);
    if (this.wanted) peer.setInterested(true);
  }

  /** The connection is over. */
  gone(peer: SimPeer): void {
    peer.closed = true;
    this.world.fluid.close(peer.flow);
    this.connections.drop(peer);
    const lost = peer.outstanding.splice(0);
    this.downloads.abandon(lost);
    this.table.peerGone(peer.pieces);
    this.uploads.leave(peer);
    if (lost.length > 0) this.downloads.fillAll();
  }

  /** The far side has that piece. @returns whether it is of use here: then it is to be welcomed */
  note(peer: SimPeer, index: number): boolean {
    return peer.pieces.add(index) && this.downloads.gained(peer, index);
  }

  /** The far side has one more piece of use. */
  welcome(peer: SimPeer, index: number): void {
    this.uploads.peerHas(peer, index);
    if (!this.wanted) return;
    peer.setInterested(true);
    this.downloads.fill(peer);
  }

  /** The far side tells of these pieces. */
  told(peer: SimPeer, indices: readonly number[]): void {
    const news = indices.filter((index) => this.note(peer, index));
    for (const index of news) this.welcome(peer, index);
  }

  arrived(peer: SimPeer, block: Block): void {
    const { wanted, whole } = this.downloads.arrived(peer, block);
    this.world.received(this, peer.host, block.length, wanted);
    if (whole) this.#hold(block.index);
    if (wanted) this.downloads.fill(peer);
  }

  /** Of an engine's clock. */
  tick(): void {
    const { now } = this.world.clock;
    this.uploads.tick(now);
    this.connections.closeQuiet(now);
    if (!this.wanted) return;
    const waitedMs = now - this.#waitingSince;
    this.downloads.tick(now, waitedMs);
    this.connections.dial();
    this.world.stalled(this, waitedMs);
    if (this.connections.peers.length < MIN_PEERS || waitedMs >= STARVED_MS) this.#askMore(now);
  }

  #hold(index: number): void {
    this.table.hold(index);
    this.downloads.settled(index);
    this.uploads.announce(index);
    if (this.#used) this.#advanceReader();
    if (!this.table.complete) return;
    for (const peer of this.connections.peers) peer.setInterested(false);
    this.world.completed(this);
  }

  /** The last piece is kept from the reader until the whole is there: it waits for what is missing before it. */
  #advanceReader(): void {
    const { count, held, complete } = this.table;
    const readable = (at: number): boolean => held.has(at) && (complete || at < count - 1);
    const from = this.cursors[0]!;
    let index = from;
    while (index < count && readable(index)) this.world.read(this, index++);
    this.cursors.length = 0;
    this.cursors.push(index);
    if (index === count - 1 && held.has(index)) this.cursors.push(this.#firstMissing);
    if (index === from) return;
    this.#waitingSince = this.world.clock.now;
    this.downloads.fillAll();
  }

  get #firstMissing(): number {
    let index = 0;
    while (this.table.held.has(index)) index++;
    return index;
  }

  #askMore(now: number): void {
    if (now < this.#askMoreAt) return;
    this.#askMoreAt = now + this.#askMoreWait * (0.75 + this.world.random() / 2);
    this.#askMoreWait = Math.min(this.#askMoreWait * 2, MORE_PEERS_LONGEST_MS);
    this.world.morePeers(this);
  }
}

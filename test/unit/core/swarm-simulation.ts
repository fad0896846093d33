import { CHOKE_INTERVAL_MS, chooseUnchoked } from '#swarm/core/choker.ts';
import { Distribution } from '#swarm/core/distribution.ts';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { pickBlock } from '#swarm/core/picker.ts';
import { type Block, PieceTable } from '#swarm/core/piece-table.ts';
import { pipelineBytes, Rate } from '#swarm/core/pipeline.ts';
import { seededRandom } from './random.ts';

const BLOCK = 128 * 1024;
const TICK_MS = 10;

/** One side's view of a connection: what the far node has, was asked for and has sent. */
class Link {
  readonly pieces: Bitfield;
  readonly outstanding: Block[] = [];
  readonly rate = new Rate();
  readonly blockLength = BLOCK;
  unchoked = false;

  constructor(count: number) {
    this.pieces = new Bitfield(count);
  }

  asked(index: number, offset: number): boolean {
    return this.outstanding.some((block) => block.index === index && block.offset === offset);
  }
}

interface NodeOptions {
  /** Upload, in bytes per second. */
  readonly upload: number;
}

export class SimulatedNode {
  readonly name: string;
  readonly table: PieceTable;
  readonly links = new Map<SimulatedNode, Link>();
  readonly upload: number;
  sent = 0;
  sentTo = new Map<SimulatedNode, number>();
  /** Asked of this node and not sent yet. */
  queue: { to: SimulatedNode; block: Block }[] = [];
  credit = 0;
  finishedAt: number | undefined;

  constructor(name: string, size: number, { upload }: NodeOptions) {
    this.name = name;
    this.table = new PieceTable(size);
    this.upload = upload;
  }
}

/** A swarm of one source and some peers, decided on by swarm/core alone, on a clock of its own and without sockets. */
export class SwarmSimulation {
  readonly source: SimulatedNode;
  readonly peers: SimulatedNode[];
  readonly #size: number;
  readonly #random: () => number;
  readonly #distribution: Distribution<SimulatedNode>;
  now = 0;

  constructor(size: number, options: { source: NodeOptions; peers: NodeOptions[]; seed: number }) {
    this.#size = size;
    this.#random = seededRandom(options.seed);
    this.source = new SimulatedNode('source', size, options.source);
    this.#distribution = new Distribution(this.source.table.count);
    for (let index = 0; index < this.source.table.count; index++) {
      this.source.table.hold(index);
      this.#distribution.available(index);
    }
    this.peers = options.peers.map((peer, at) => new SimulatedNode(`peer ${at}`, size, peer));
    for (const peer of this.peers) this.#connect(peer);
  }

  #connect(peer: SimulatedNode): void {
    this.#distribution.join(peer);
    for (const other of [this.source, ...this.peers]) {
      if (other === peer) continue;
      peer.links.set(other, new Link(peer.table.count));
      if (other !== this.source) other.links.set(peer, new Link(peer.table.count));
    }
  }

  /** The peer is gone at once, with all that it alone had. */
  leave(peer: SimulatedNode): void {
    this.peers.splice(this.peers.indexOf(peer), 1);
    this.#distribution.leave(peer);
    for (const other of [this.source, ...this.peers]) {
      other.queue = other.queue.filter(({ to }) => to !== peer);
      const link = other.links.get(peer);
      if (!link) continue;
      other.table.peerGone(link.pieces);
      for (const block of link.outstanding) other.table.abandoned(block);
      other.links.delete(peer);
    }
  }

  /** Runs until each peer has all, or the time (ms) is over. */
  run(untilMs: number): void {
    while (this.now < untilMs && this.peers.some((peer) => peer.finishedAt === undefined)) this.#tick();
  }

  #tick(): void {
    if (this.now % CHOKE_INTERVAL_MS === 0)
      for (const node of [this.source, ...this.peers]) this.#choke(node);
    this.#show();
    for (const peer of this.peers) for (const [from, link] of peer.links) this.#ask(peer, from, link);
    for (const node of [this.source, ...this.peers]) this.#send(node);
    this.now += TICK_MS;
  }

  #choke(node: SimulatedNode): void {
    const candidates = this.peers
      .filter((peer) => peer !== node && peer.finishedAt === undefined)
      .map((peer) => ({
        peer,
        interested: true,
        sent: node.sentTo.get(peer) ?? 0,
        pieces: peer.table.held.count,
      }));
    const chosen = chooseUnchoked(candidates, this.#random);
    node.sentTo.clear();
    for (const peer of this.peers) {
      const link = peer.links.get(node);
      if (!link || link.unchoked === chosen.has(peer)) continue;
      link.unchoked = chosen.has(peer);
      if (!link.unchoked) this.#drop(node, peer, link);
    }
  }

  #drop(node: SimulatedNode, peer: SimulatedNode, link: Link): void {
    node.queue = node.queue.filter(({ to }) => to !== peer);
    for (const block of link.outstanding.splice(0)) peer.table.abandoned(block);
  }

  #show(): void {
    for (const peer of this.peers) {
      const rate = peer.links.get(this.source)!.rate.perSecond(this.now);
      for (const index of this.#distribution.grant(peer, rate, this.source.table.pieceLength, this.now))
        this.#tell(peer, this.source, index);
    }
  }

  #tell(peer: SimulatedNode, of: SimulatedNode, index: number): void {
    if (peer.links.get(of)?.pieces.add(index)) peer.table.peerHas(index);
  }

  #ask(peer: SimulatedNode, from: SimulatedNode, link: Link): void {
    const most = pipelineBytes(BLOCK, link.rate.perSecond(this.now));
    const options = { cursors: [firstMissing(peer.table)], windowOnly: false, random: this.#random };
    while (link.unchoked && link.outstanding.length * BLOCK < most) {
      const block = pickBlock(peer.table, link, options);
      if (!block) return;
      peer.table.requested(block);
      link.outstanding.push(block);
      from.queue.push({ to: peer, block });
    }
  }

  #send(node: SimulatedNode): void {
    node.credit = Math.min(node.credit + (node.upload * TICK_MS) / 1_000, node.upload);
    while (node.queue.length > 0 && node.credit > 0) {
      const { to, block } = node.queue.shift()!;
      node.credit -= block.length;
      node.sent += block.length;
      node.sentTo.set(to, (node.sentTo.get(to) ?? 0) + block.length);
      this.#arrive(to, node, block);
    }
  }

  #arrive(peer: SimulatedNode, from: SimulatedNode, block: Block): void {
    const link = peer.links.get(from)!;
    link.outstanding.splice(link.outstanding.indexOf(block), 1);
    link.rate.add(block.length, this.now);
    if (!peer.table.arrived(block)) return;
    if (!peer.table.hold(block.index)) return;
    this.#distribution.has(peer, block.index);
    for (const other of this.peers) this.#tell(other, peer, block.index);
    for (const [asked, { outstanding }] of peer.links) {
      const settled = outstanding.filter(({ index }) => index === block.index);
      for (const late of settled) outstanding.splice(outstanding.indexOf(late), 1);
      asked.queue = asked.queue.filter((one) => one.to !== peer || !settled.includes(one.block));
    }
    if (peer.table.complete) peer.finishedAt = this.now;
  }

  /** What the source sent, in copies of the blob. */
  get copiesFromSource(): number {
    return this.source.sent / this.#size;
  }
}

function firstMissing(table: PieceTable): number {
  let index = 0;
  while (index < table.count && table.held.has(index)) index++;
  return index;
}

import { Bitfield } from '#swarm/core/bitfield.ts';
import type { Block } from '#swarm/core/piece-table.ts';
import { blockBytes, pipelineBytes, Rate } from '#swarm/core/pipeline.ts';
import type { DialTarget } from '#swarm/session/addresses.ts';
import type { Flow, Sender } from './fluid.ts';
import type { SimHost } from './host.ts';
import type { SimTorrent } from './torrent.ts';

/** Mirrors `swarm/session/peer-session.ts`: one end of a connection of one torrent. */
export class SimPeer implements Sender {
  readonly torrent: SimTorrent;
  /** The far side's. */
  readonly host: SimHost;
  /** Whom this side dialled; undefined: it was called. */
  readonly target: DialTarget | undefined;
  /** What a message takes to the far side. Milliseconds. */
  readonly delayMs: number;
  readonly pieces: Bitfield;
  readonly received = new Rate();
  /** Only an origin looks at it. */
  readonly sent: Rate | undefined;
  readonly outstanding: Block[] = [];
  /** What it asked for and was not sent yet, oldest first. */
  readonly queue: Block[] = [];
  readonly flow: Flow;
  /** The far side's end. */
  other!: SimPeer;
  sending: Block | undefined;
  outstandingBytes = 0;
  #saturated = false;
  choked = true;
  choking = true;
  interested = false;
  peerInterested = false;
  snubbedUntil = 0;
  heardAt = 0;
  /** The piece that it was last asked to show; -1: none. */
  wantedLast = -1;
  usefulAt: number;
  sentSinceChoice = 0;
  closed = false;
  /** One of the two machines is gone: nothing crosses any more, and nobody knows yet. */
  silent = false;
  /** The picker found nothing for it while `Downloads` stood so: it still would not. */
  emptyAt = -1;

  constructor(torrent: SimTorrent, far: SimHost, target: DialTarget | undefined) {
    const { world, host, table } = torrent;
    this.torrent = torrent;
    this.target = target;
    this.delayMs = world.latencyMs(host, far);
    this.pieces = new Bitfield(table.count);
    this.usefulAt = world.clock.now;
    this.host = far;
    this.sent = host.role === 'origin' ? new Rate() : undefined;
    this.flow = world.fluid.open(host.linksTo(far), this);
  }

  get outgoing(): boolean {
    return this.target !== undefined;
  }

  get blockLength(): number {
    const { blockLength, clock } = this.torrent.world;
    return blockBytes(blockLength, this.received.perSecond(clock.now));
  }

  /** Asked for as much as its speed is worth. It stays so until something is settled: meanwhile its rate only falls. */
  get saturated(): boolean {
    if (this.#saturated) return true;
    const { blockLength, clock } = this.torrent.world;
    const rate = this.received.perSecond(clock.now);
    this.#saturated = this.outstandingBytes >= pipelineBytes(blockBytes(blockLength, rate), rate);
    return this.#saturated;
  }

  asked(index: number, offset: number): boolean {
    return this.outstanding.some(
      (block) => block.index === index && offset >= block.offset && offset < block.offset + block.length,
    );
  }

  /** Notes that it was asked for. */
  request(block: Block): void {
    if (this.outstanding.length === 0) {
      this.heardAt = this.torrent.world.clock.now;
      this.received.resume(this.heardAt);
    }
    this.outstanding.push(block);
    this.outstandingBytes += block.length;
  }

  settle(block: Block): boolean {
    const at = this.outstanding.indexOf(block);
    if (at < 0) return false;
    this.outstanding.splice(at, 1);
    this.outstandingBytes -= block.length;
    this.#saturated = false;
    if (this.outstanding.length === 0) this.received.pause(this.torrent.world.clock.now);
    return true;
  }

  takeBack(): Block[] {
    this.outstandingBytes = 0;
    this.#saturated = false;
    this.received.pause(this.torrent.world.clock.now);
    const blocks = this.outstanding.splice(0);
    for (const block of blocks) this.#cancel(block);
    return blocks;
  }

  cancelPiece(index: number): void {
    for (let at = this.outstanding.length - 1; at >= 0; at--) {
      const block = this.outstanding[at]!;
      if (block.index !== index) continue;
      this.settle(block);
      this.#cancel(block);
    }
  }

  passed(at: number): void {
    this.torrent.uploads.passed(this, at);
  }

  setInterested(interested: boolean): void {
    if (this.interested === interested) return;
    this.interested = interested;
    this.tell((far) => {
      far.peerInterested = interested;
      far.torrent.uploads.interest(far);
    });
  }

  setChoking(choking: boolean): void {
    if (this.choking === choking) return;
    this.choking = choking;
    const rejected = choking ? this.queue.splice(0) : [];
    this.tell((far) => {
      far.choked = choking;
      if (!choking) return far.torrent.downloads.fill(far);
      for (const block of rejected) far.torrent.downloads.rejected(far, block);
    });
  }

  /** A message: it arrives after the way's delay, if both ends are still there. */
  tell(act: (far: SimPeer) => void): void {
    const { world, host } = this.torrent;
    host.messages++;
    world.clock.after(this.delayMs, () => {
      if (!this.other.closed && !this.silent) act(this.other);
    });
  }

  #cancel(block: Block): void {
    this.tell((far) => {
      const at = far.queue.indexOf(block);
      if (at >= 0) far.queue.splice(at, 1);
    });
  }
}

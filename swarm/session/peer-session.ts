import { Bitfield } from '#swarm/core/bitfield.ts';
import { MAX_PIECE_LENGTH, UNIT_LENGTH } from '#swarm/core/piece-length.ts';
import type { Block } from '#swarm/core/piece-table.ts';
import { Rate, blockBytes, pipelineBytes } from '#swarm/core/pipeline.ts';
import { DEFAULT_REQUEST_QUEUE } from '#swarm/wire/defaults.ts';
import type { ExtendedHandshake, Wire, WireHandler } from '#swarm/wire/wire.ts';
import { EXTENSION, decodePieceIndex, encodePieceIndex } from '#swarm/wire/shoal-messages.ts';
import { HEARD_BYTES, TRICKLE_BYTES } from './defaults.ts';
import { offenderOf } from './offender.ts';
import type { PieceBytes, PieceMemory, PiecePool } from './piece-memory.ts';

export type PeerRole = 'agent' | 'origin' | 'stranger';

/** A hash that has not come after this time is asked for again. Milliseconds. */
const HASHES_TIMEOUT_MS = 2_000;

/** Pieces whose hash was asked of one peer that are remembered. */
const MAX_HASHES_ASKED = 4_096;

/** So many pieces that a peer was not told of yet do not wait for another message to it. */
export const MAX_NEWS = 8;

const MAX_UNITS = MAX_PIECE_LENGTH / UNIT_LENGTH;

/** Cancelled requests of one peer that are remembered. */
const MAX_CANCELLED = 512;

/** What a connection tells the torrent it belongs to, which owns all decisions. */
export interface PeerEvents {
  /** The pieces it has are known, or one more is. */
  gained(peer: PeerSession, indices: readonly number[]): void;
  /** A piece that it said it had it does not give. */
  disowned(peer: PeerSession, index: number): void;
  /** It may be asked now, or for more. */
  ready(peer: PeerSession): void;
  /** Its extended handshake has come. */
  introduced(peer: PeerSession): void;
  /** Whether a block that was asked for is still missing. */
  wants(block: Block): boolean;
  /** The block's bytes, in memory of their own that is the receiver's from now on. */
  arrived(peer: PeerSession, block: Block, memory: PieceMemory): void;
  /** Blocks asked of it that will not come. */
  lost(blocks: readonly Block[]): void;
  interest(peer: PeerSession): void;
  /** It asks for something, or can take more of what it asked for. */
  serve(peer: PeerSession): void;
  hashesAsked(peer: PeerSession, index: number): void;
  hashesCame(peer: PeerSession, signed: Uint8Array): void;
  pieceWanted(peer: PeerSession, index: number): void;
  broke(peer: PeerSession, reason: string): void;
  closed(peer: PeerSession, error: Error | undefined): void;
}

/**
 * One connection of one torrent: what each side has, wants and was asked for. It keeps the protocol's state and
 * passes what matters on.
 */
export class PeerSession implements WireHandler {
  readonly wire: Wire;
  readonly #events: PeerEvents;
  readonly #pool: PiecePool;
  readonly #now: () => number;
  readonly #outstanding = new Map<number, Block>();
  /** What it asked for and was not sent yet, oldest first. */
  readonly queue: Block[] = [];
  readonly received = new Rate();
  readonly sent = new Rate();
  role: PeerRole;
  /** Its zone, where it told one. */
  zone: string | undefined;
  readonly pieces: Bitfield;
  /** It chokes us: nothing may be asked. */
  choked = true;
  /** We choke it. */
  choking = true;
  /** A member's extended handshake has come: how long its blocks may be and which messages it knows. */
  introduced = false;
  interested = false;
  peerInterested = false;
  /** It has not answered in time and is not asked before then, unless it sends something. Milliseconds. */
  snubbedUntil = 0;
  /** When it last sent a block or much of one, or was first asked for one after having nothing to send. Milliseconds. */
  #heardAt = 0;
  /** More than a trickle came from it between the last two looks. */
  #sending = false;
  #readAtLook = 0;
  #readWhenHeard = 0;
  /** A read or a wait for bandwidth is under way for it. */
  serving = false;
  closed = false;
  /** When either side was last interested in the other, as far as was looked. Milliseconds. */
  usefulAt: number;
  /** The connection takes no more until it drains. */
  full = false;
  /** Its turn at the limited download bandwidth has not come yet. */
  queuedForBandwidth = false;
  sentSinceChoice = 0;
  /** The piece that it was last asked to show; -1: none. */
  wantedLast = -1;
  /** When it was asked for the hash of which piece. */
  readonly #hashesAsked = new Map<number, number>();
  readonly #hashesSent = new WeakSet<Uint8Array>();
  #outstandingBytes = 0;
  /** Pieces that it has not been told of yet. */
  readonly #news: number[] = [];
  /** Requests that it lets wait (BEP 10). */
  #requestQueue = DEFAULT_REQUEST_QUEUE;
  /** Blocks taken back: each is still to be answered, mostly by a reject that says nothing of the piece (BEP 6). */
  readonly #cancelled = new Set<number>();
  /**
   * The block that is arriving. Each has its own memory until it is there: another peer may answer the same
   * request meanwhile, and what one writes late must not reach a piece that was verified.
   */
  #arriving: PieceMemory | undefined;

  /** @param count pieces of the blob */
  constructor(
    wire: Wire,
    peer: { role: PeerRole; count: number },
    parts: { events: PeerEvents; pool: PiecePool; now: () => number },
  ) {
    this.wire = wire;
    this.role = peer.role;
    this.pieces = new Bitfield(peer.count);
    this.#events = parts.events;
    this.#pool = parts.pool;
    this.#now = parts.now;
    this.usefulAt = parts.now();
  }

  get id(): string {
    return this.wire.peerId.toString('hex');
  }

  /** Whom its wrongs are counted against. */
  get offender(): string {
    return offenderOf(this.id, this.wire.remoteAddress);
  }

  get address(): string {
    return `${this.wire.remoteAddress}:${this.wire.remotePort}`;
  }

  /** How long a block to ask it for. Bytes. */
  get blockLength(): number {
    return blockBytes(this.wire.blockLength, this.received.perSecond(this.#now()));
  }

  /** Whether as much was asked of it as its speed is worth. */
  get saturated(): boolean {
    if (this.#outstanding.size >= this.#requestQueue) return true;
    const rate = this.received.perSecond(this.#now());
    return this.#outstandingBytes >= pipelineBytes(blockBytes(this.wire.blockLength, rate), rate);
  }

  /** Whether any block is waited for. */
  get isAsked(): boolean {
    return this.#outstanding.size > 0;
  }

  asked(index: number, offset: number): boolean {
    for (const block of this.#outstanding.values()) {
      if (block.index === index && offset >= block.offset && offset < block.offset + block.length)
        return true;
    }
    return false;
  }

  /** Tells it that there is a piece to be had: at once, or in front of what it is sent next, soon at the latest. */
  tell(index: number, atOnce: boolean): void {
    this.#news.push(index);
    if (atOnce || this.#news.length >= MAX_NEWS) this.sendNews();
  }

  /** Tells it of the pieces that it was not told of yet. */
  sendNews(): void {
    if (this.#news.length === 0) return;
    for (const index of this.#news.splice(0)) {
      // An origin shows the next piece to who has taken the last.
      if (this.role === 'origin' || !this.pieces.has(index)) this.wire.have(index);
    }
  }

  request(block: Block): void {
    this.sendNews();
    if (this.#outstanding.size === 0) {
      this.#heard();
      this.received.resume(this.#now());
    }
    this.#outstanding.set(keyOf(block), block);
    this.#outstandingBytes += block.length;
    this.wire.request(block);
  }

  /** Takes back requests within piece `index` that others have answered meanwhile. */
  cancelPiece(index: number): void {
    for (const block of this.#outstanding.values()) {
      if (block.index !== index) continue;
      this.#settle(block);
      this.#cancel(block);
    }
  }

  /** To be called every `TICK_MS`. */
  look(): void {
    const { bytesRead } = this.wire;
    this.#sending = bytesRead - this.#readAtLook >= TRICKLE_BYTES;
    this.#readAtLook = bytesRead;
    if (bytesRead - this.#readWhenHeard >= HEARD_BYTES) this.#heard();
  }

  /** Whether it was asked for some of the piece, and more than a trickle came from it lately. */
  isSending(index: number): boolean {
    return this.#sending && this.#outstanding.values().some((block) => block.index === index);
  }

  /** Whether it was asked for something and has sent no block, nor much of one, since then. */
  silentSince(then: number): boolean {
    return this.#outstanding.size > 0 && this.#heardAt < then;
  }

  /** Takes back everything that was asked for, and returns it. */
  takeBack(): Block[] {
    const blocks = this.giveUp();
    for (const block of blocks) this.#cancel(block);
    return blocks;
  }

  /** Everything that was asked for and has not come; it is not waited for any more. */
  giveUp(): Block[] {
    const blocks = [...this.#outstanding.values()];
    this.#outstanding.clear();
    this.#outstandingBytes = 0;
    this.received.pause(this.#now());
    return blocks;
  }

  setInterested(interested: boolean): void {
    if (this.interested === interested) return;
    this.interested = interested;
    if (interested) this.wire.interested();
    else this.wire.uninterested();
  }

  setChoking(choking: boolean): void {
    if (this.choking === choking) return;
    this.choking = choking;
    if (!choking) return this.wire.unchoke();
    this.wire.choke();
    // BEP 6: what is not going to be answered is rejected; BEP 3 forgets it silently.
    for (const block of this.queue.splice(0)) this.wire.reject(block);
  }

  /** Asks for the signed batch that covers piece `index`, once in a while. */
  askHashes(index: number): void {
    const now = this.#now();
    const askedAt = this.#hashesAsked.get(index);
    if (askedAt !== undefined && now - askedAt < HASHES_TIMEOUT_MS) return;
    if (this.#hashesAsked.size >= MAX_HASHES_ASKED) this.#hashesAsked.clear();
    this.#hashesAsked.set(index, now);
    this.wire.extension(EXTENSION.hashRequest, encodePieceIndex(index));
  }

  /** Sends a signed batch, once: it asks for each piece's hash before it knows what the batch will cover. */
  sendHashes(signed: Uint8Array): void {
    if (this.#hashesSent.has(signed)) return;
    this.#hashesSent.add(signed);
    this.wire.extension(EXTENSION.hashes, signed);
  }

  /** Asks for a piece that it has shown to others. */
  want(index: number): void {
    this.wantedLast = index;
    this.wire.extension(EXTENSION.want, encodePieceIndex(index));
  }

  /** Sends a block and gives its memory back when it has been sent. */
  sendBlock(block: Block, { bytes, memory }: PieceBytes): void {
    this.sendNews();
    this.sent.add(block.length, this.#now());
    this.sentSinceChoice += block.length;
    this.full = !this.wire.piece(block, bytes, () => memory.release());
  }

  onChoke(): void {
    this.choked = true;
    // With BEP 6 each request is answered or rejected, choked or not; without it a choke voids them all.
    if (!this.wire.fast) this.#events.lost(this.giveUp());
  }

  onUnchoke(): void {
    this.choked = false;
    this.#events.ready(this);
  }

  onInterested(): void {
    this.peerInterested = true;
    this.#events.interest(this);
  }

  onUninterested(): void {
    this.peerInterested = false;
    this.#events.interest(this);
  }

  onHave(index: number): void {
    if (index >= this.pieces.length)
      return this.#events.broke(this, `have of piece ${index} of ${this.pieces.length}`);
    if (this.pieces.add(index)) this.#events.gained(this, [index]);
  }

  onBitfield(bits: Uint8Array): void {
    const field = Bitfield.parse(bits, this.pieces.length);
    if (!field)
      return this.#events.broke(this, `bitfield of ${bits.length} bytes for ${this.pieces.length} pieces`);
    this.#gain(field);
  }

  onHaveAll(): void {
    const field = new Bitfield(this.pieces.length);
    field.fill();
    this.#gain(field);
  }

  onHaveNone(): void {
    // It has nothing until it says otherwise.
  }

  onRequest(block: Block): void {
    if (this.choking) return this.wire.reject(block);
    this.queue.push(block);
    this.#events.serve(this);
  }

  onCancel(block: Block): void {
    const at = this.queue.findIndex(
      (queued) => keyOf(queued) === keyOf(block) && queued.length === block.length,
    );
    if (at < 0) return;
    this.queue.splice(at, 1);
    this.wire.reject(block);
  }

  onReject(block: Block): void {
    if (this.#cancelled.delete(keyOf(block)) || !this.#settle(block)) return;
    // Not a choke, which would have been told first: it lacks the piece, and asking again would only go round.
    if (!this.choked && this.pieces.remove(block.index)) this.#events.disowned(this, block.index);
    this.#events.lost([block]);
  }

  blockTarget(block: Block): Uint8Array | undefined {
    const wanted = this.#waitsFor(block) && this.#events.wants(block);
    this.#arriving = wanted ? this.#pool.take(block.length) : undefined;
    return this.#arriving?.data;
  }

  onBlock(block: Block): void {
    const memory = this.#arriving;
    this.#arriving = undefined;
    if (!this.#settle(block)) return memory?.release();
    this.#cancelled.delete(keyOf(block));
    this.snubbedUntil = 0;
    this.#heard();
    this.received.add(block.length, this.#now());
    if (memory) this.#events.arrived(this, block, memory);
    // Others were quicker: it has done what it was asked for all the same.
    else this.#events.ready(this);
  }

  onExtension(name: string, payload: Uint8Array): void {
    if (name === EXTENSION.hashes) return this.#events.hashesCame(this, payload);
    if (name !== EXTENSION.hashRequest && name !== EXTENSION.want) return;
    const index = decodePieceIndex(payload);
    if (name === EXTENSION.hashRequest) this.#events.hashesAsked(this, index);
    else this.#events.pieceWanted(this, index);
  }

  onExtendedHandshake(handshake: ExtendedHandshake): void {
    this.#requestQueue = handshake.requestQueue;
    if (handshake.shoal && this.wire.member) this.role = handshake.shoal.role;
    this.zone = handshake.shoal?.zone;
    this.introduced = true;
    this.#events.introduced(this);
  }

  onDrain(): void {
    this.full = false;
    this.#events.serve(this);
  }

  onClose(error?: Error): void {
    this.closed = true;
    this.queue.length = 0;
    this.#arriving?.release();
    this.#arriving = undefined;
    this.#events.lost(this.giveUp());
    this.#events.closed(this, error);
  }

  #heard(): void {
    this.#heardAt = this.#now();
    this.#readWhenHeard = this.wire.bytesRead;
  }

  #cancel(block: Block): void {
    if (this.#cancelled.size >= MAX_CANCELLED) this.#cancelled.clear();
    if (this.wire.fast) this.#cancelled.add(keyOf(block));
    this.wire.cancel(block);
  }

  #gain(field: Bitfield): void {
    const fresh: number[] = [];
    for (const index of field) if (this.pieces.add(index)) fresh.push(index);
    this.#events.gained(this, fresh);
  }

  /** Whether it was asked for exactly this block: the far side may name any other. */
  #waitsFor(block: Block): boolean {
    const asked = this.#outstanding.get(keyOf(block));
    return asked !== undefined && asked.offset === block.offset && asked.length === block.length;
  }

  #settle(block: Block): boolean {
    if (!this.#waitsFor(block)) return false;
    this.#outstanding.delete(keyOf(block));
    this.#outstandingBytes -= block.length;
    if (this.#outstanding.size === 0) this.received.pause(this.#now());
    return true;
  }
}

/** Of where a block begins and how long it is: a piece may be asked for in longer blocks one time than another. */
function keyOf({ index, offset, length }: Block): number {
  return (index * MAX_UNITS + offset / UNIT_LENGTH) * 2 * MAX_UNITS + Math.ceil(length / UNIT_LENGTH);
}

import type { Wire } from '#swarm/wire/wire.ts';
import { Addresses, type DialTarget } from './addresses.ts';
import { MAX_DIALLED_SHARE, MAX_DIALS, QUIET_MS } from './defaults.ts';
import type { PeerEvents, PeerRole } from './peer-session.ts';
import { PeerSession } from './peer-session.ts';
import type { PiecePool } from './piece-memory.ts';

interface ConnectionParts {
  readonly events: PeerEvents;
  /** Own peer id, 20 bytes. */
  readonly peerId: Buffer;
  readonly pool: PiecePool;
  readonly now: () => number;
  readonly random: () => number;
  dial(target: DialTarget, signal: AbortSignal): Promise<Wire>;
  /** Whether somebody's wrongs ban it now. */
  banned(offender: string): boolean;
  /** Most connections of this torrent. */
  readonly maxPeers: number;
  /** Whether the process may have one more connection. */
  hasRoom(): boolean;
  /** Tells a new peer what there is; its connection is running. */
  greet(peer: PeerSession): void;
}

/**
 * One torrent's connections: whom to dial, whom to let in, and at most one with each peer. A process may call by
 * several ids, though: it has a torrent for each registry that delivers the blob.
 */
export class Connections {
  readonly #parts: ConnectionParts;
  readonly #count: number;
  readonly #addresses: Addresses;
  readonly #peers = new Map<string, PeerSession>();
  readonly #dialled = new Map<PeerSession, DialTarget>();
  readonly #ending = new AbortController();
  #dialling = 0;

  /** @param count pieces of the blob */
  constructor(parts: ConnectionParts, count: number) {
    this.#parts = parts;
    this.#count = count;
    this.#addresses = new Addresses(parts.random);
  }

  get size(): number {
    return this.#peers.size;
  }

  values(): Iterable<PeerSession> {
    return this.#peers.values();
  }

  /** Somebody who may have pieces. */
  offer(target: DialTarget): void {
    this.#addresses.add(target);
  }

  /** Opens connections as far as there are addresses and places. */
  dial(): void {
    const most = Math.ceil(this.#parts.maxPeers * MAX_DIALLED_SHARE);
    const places = Math.min(MAX_DIALS - this.#dialling, most - this.#dialled.size - this.#dialling);
    if (places <= 0 || this.#ending.signal.aborted || !this.#parts.hasRoom()) return;
    const connected = (peerId: string): boolean => this.#of(peerId).length > 0;
    for (const target of this.#addresses.take(places, this.#parts.now(), connected)) void this.#open(target);
  }

  /** Lets a connection in. Of two that crossed, both sides keep the one that the smaller peer id dialled. */
  attach(wire: Wire, role: PeerRole, target?: DialTarget): void {
    const peer = new PeerSession(
      wire,
      { role, count: this.#count },
      { events: this.#parts.events, pool: this.#parts.pool, now: this.#parts.now },
    );
    const known = this.#peers.get(keyOf(peer));
    if (!this.#welcome(peer, known)) {
      if (target) this.#leave(target, peer);
      return wire.close();
    }
    this.#peers.set(keyOf(peer), peer);
    known?.wire.close();
    if (target) {
      this.#dialled.set(peer, target);
      this.#addresses.connected(target);
    }
    wire.start(peer);
    this.#parts.greet(peer);
  }

  /** The connection is over. */
  drop(peer: PeerSession): void {
    if (this.#peers.get(keyOf(peer)) === peer) this.#peers.delete(keyOf(peer));
    const target = this.#dialled.get(peer);
    this.#dialled.delete(peer);
    if (target) this.#leave(target, peer);
  }

  /** Ends the connections with one that was banned. */
  cut(offender: string): void {
    for (const peer of this.#peers.values()) if (peer.offender === offender) peer.wire.close();
  }

  /** Closes connections in which neither side has wanted anything for long: a large cache must not pile them up. */
  closeQuiet(now: number): void {
    for (const peer of this.#peers.values()) {
      if (peer.interested || peer.peerInterested) peer.usefulAt = now;
      else if (now - peer.usefulAt >= QUIET_MS) peer.wire.close();
    }
  }

  close(): void {
    this.#ending.abort();
    for (const peer of this.#peers.values()) peer.wire.close();
  }

  #leave(target: DialTarget, { offender }: PeerSession): void {
    if (this.#parts.banned(offender)) this.#addresses.remove(target);
    else this.#addresses.failed(target, this.#parts.now());
  }

  async #open(target: DialTarget): Promise<void> {
    this.#dialling++;
    try {
      const wire = await this.#parts.dial(target, this.#ending.signal);
      if (wire.peerId.equals(this.#parts.peerId)) {
        // The tracker has handed us to ourselves, perhaps under an older address.
        this.#addresses.remove(target);
        return wire.close();
      }
      this.attach(wire, target.role, target);
    } catch {
      this.#addresses.failed(target, this.#parts.now());
    } finally {
      this.#dialling--;
    }
  }

  #of(peerId: string): PeerSession[] {
    return [...this.#peers.values()].filter((peer) => peer.id === peerId);
  }

  #welcome(peer: PeerSession, known: PeerSession | undefined): boolean {
    if (this.#ending.signal.aborted || this.#parts.banned(peer.offender)) return false;
    // Whom this torrent calls by one id, it needs not by another.
    if (!known && peer.wire.outgoing && this.#of(peer.id).length > 0) return false;
    if (!known) return this.#peers.size < this.#parts.maxPeers && this.#parts.hasRoom();
    if (peer.wire.outgoing === known.wire.outgoing) return false;
    const ownIsSmaller = Buffer.compare(this.#parts.peerId, peer.wire.peerId) < 0;
    return peer.wire.outgoing === ownIsSmaller;
  }
}

function keyOf({ id, wire }: PeerSession): string {
  return `${id} ${wire.infoHash.toString('hex')}`;
}

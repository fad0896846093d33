import { Addresses, type DialTarget } from '#swarm/session/addresses.ts';
import { MAX_DIALLED_SHARE, MAX_DIALS, QUIET_MS } from '#swarm/session/defaults.ts';
import type { SimHost } from './host.ts';
import type { SimPeer } from './peer.ts';
import type { SimTorrent } from './torrent.ts';

/** Mirrors `swarm/session/connections.ts`: whom to dial, whom to let in, at most one connection with each. */
export class SimConnections {
  readonly peers: SimPeer[] = [];
  readonly #torrent: SimTorrent;
  readonly #addresses: Addresses;
  #dialling = 0;
  #dialled = 0;

  constructor(torrent: SimTorrent) {
    this.#torrent = torrent;
    this.#addresses = new Addresses(torrent.world.random);
  }

  offer(target: DialTarget): void {
    this.#addresses.add(target);
  }

  dial(): void {
    const { world, host } = this.#torrent;
    const most = Math.ceil(world.maxPeers * MAX_DIALLED_SHARE);
    const places = Math.min(MAX_DIALS - this.#dialling, most - this.#dialled - this.#dialling);
    if (places <= 0 || !world.hasRoom(host)) return;
    const connected = (id: string): boolean => this.peers.some((peer) => peer.host.id === id);
    for (const target of this.#addresses.take(places, world.clock.now, connected)) {
      this.#dialling++;
      world.dial(this.#torrent, target);
    }
  }

  /** A dial has led to a connection, or `failed`. */
  dialEnded(failed: DialTarget | undefined): void {
    this.#dialling--;
    if (failed) this.#addresses.failed(failed, this.#torrent.world.clock.now);
  }

  /** Whether a new connection would be kept; one that crossed it is closed then. */
  welcome(far: SimHost, outgoing: boolean): boolean {
    const { world, host } = this.#torrent;
    const known = this.peers.find((peer) => peer.host === far);
    if (!known) return this.peers.length < world.maxPeers && world.hasRoom(host);
    if (outgoing === known.outgoing) return false;
    return outgoing === host.id < far.id;
  }

  attach(peer: SimPeer): void {
    const known = this.peers.find(({ host }) => host === peer.host);
    if (known) closeConnection(known);
    this.peers.push(peer);
    if (!peer.target) return;
    this.#dialled++;
    this.#addresses.connected(peer.target);
  }

  drop(peer: SimPeer): void {
    this.peers.splice(this.peers.indexOf(peer), 1);
    if (!peer.target) return;
    this.#dialled--;
    this.#addresses.failed(peer.target, this.#torrent.world.clock.now);
  }

  closeQuiet(now: number): void {
    for (const peer of this.peers.slice()) {
      if (peer.interested || peer.peerInterested) peer.usefulAt = now;
      else if (now - peer.usefulAt >= QUIET_MS) closeConnection(peer);
    }
  }
}

/** Both ends go. */
export function closeConnection(peer: SimPeer): void {
  const { other } = peer;
  if (!peer.closed) peer.torrent.gone(peer);
  if (!other.closed) other.torrent.gone(other);
}

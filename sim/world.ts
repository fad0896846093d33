import { createHash } from 'node:crypto';
import { owners } from '#swarm/core/ring.ts';
import type { DialTarget } from '#swarm/session/addresses.ts';
import { TICK_MS, WANTED_PEERS } from '#swarm/session/defaults.ts';
import { HANDSHAKE_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '#swarm/wire/defaults.ts';
import { SimAnnouncer, type AnnouncerParts } from './announcer.ts';
import { Clock } from './clock.ts';
import { closeConnection } from './connections.ts';
import { Fluid } from './fluid.ts';
import { SimHost, type SimBlob } from './host.ts';
import { Ledger } from './ledger.ts';
import { OriginAsks } from './origin-asks.ts';
import { SimPeer } from './peer.ts';
import { seededRandom } from './random.ts';
import { type Failure, type Rates, type Scenario, WIRE_OVERHEAD } from './scenario.ts';
import { SimTorrent, type TorrentWorld } from './torrent.ts';
import { SimTracker } from './tracker.ts';

/** TCP, proof of membership, BEP 3 handshake and extended handshake. */
const SET_UP_ROUND_TRIPS = 4;

/** What hosts need to compute while a connection is set up. Milliseconds. */
const SET_UP_MS = 2;

/** Knob `peer.maxConnections`. */
const MAX_CONNECTIONS = 512;

const SECOND_MS = 1_000;
const SWEEP_MS = 5_000;
const SAMPLE_MS = 200;

/** A scenario in motion: hosts, links, tracker and failures on one clock. */
export class World implements TorrentWorld {
  readonly scenario: Scenario;
  readonly clock = new Clock();
  readonly fluid: Fluid;
  readonly random: () => number;
  readonly blockLength: number;
  readonly maxPeers: number;
  readonly tracker: SimTracker;
  readonly ledger: Ledger;
  readonly origins: readonly SimHost[];
  readonly agents: readonly SimHost[];
  readonly blobs: readonly SimBlob[];
  readonly #hosts: SimHost[] = [];
  readonly #asks: OriginAsks;

  constructor(scenario: Scenario, seed: number) {
    this.scenario = scenario;
    this.random = seededRandom(seed);
    this.fluid = new Fluid(this.clock, scenario.grainMs);
    this.blockLength = scenario.blockLength;
    this.maxPeers = scenario.maxPeers;
    this.tracker = new SimTracker(this.random);
    this.blobs = scenario.blobs.map((size, index) => makeBlob(`${seed} ${index}`, size / scenario.scale));
    this.origins = scenario.origins.map((rates) => this.#addHost('origin', rates, undefined));
    this.agents = this.#addAgents();
    this.ledger = new Ledger(this);
    this.#asks = new OriginAsks(this);
    this.#seat();
    for (const host of this.#hosts) this.#startTicks(host);
    for (const { agent, blob, at } of scenario.pulls)
      this.clock.at(at * SECOND_MS, () => this.#pull(this.agents[agent]!, this.blobs[blob]!));
    for (const failure of scenario.failures) this.clock.at(failure.at * SECOND_MS, () => this.#fail(failure));
    this.#every(SWEEP_MS, () => this.tracker.sweep(this.clock.now));
    this.#every(SAMPLE_MS, () => this.ledger.sample());
  }

  get hosts(): readonly SimHost[] {
    return this.#hosts;
  }

  /** Until every pull of an agent that lives has ended, or the scenario's limit. */
  run(): void {
    this.clock.run(() => this.ledger.done, this.scenario.limit * SECOND_MS);
    this.ledger.sample();
  }

  hasRoom(host: SimHost): boolean {
    return host.connections < MAX_CONNECTIONS;
  }

  latencyMs(from: SimHost, to: SimHost): number {
    const { near, far } = this.scenario.rttMs;
    return (from.zone === to.zone ? near : far) / 2;
  }

  dial(torrent: SimTorrent, target: DialTarget): void {
    const far = this.#hosts[target.port]!;
    const setUp = 2 * SET_UP_ROUND_TRIPS * this.latencyMs(torrent.host, far) + SET_UP_MS;
    this.clock.after(far.alive ? setUp : HANDSHAKE_TIMEOUT_MS, () => {
      if (!torrent.host.alive) return;
      const connected = far.alive && this.#connect(torrent, far.torrents.get(torrent.blob), target);
      torrent.connections.dialEnded(connected ? undefined : target);
    });
  }

  morePeers(torrent: SimTorrent): void {
    torrent.host.announcer.more(torrent.blob, WANTED_PEERS);
  }

  received(torrent: SimTorrent, from: SimHost, bytes: number, wanted: boolean): void {
    this.ledger.received(torrent.host, from, bytes, wanted);
  }

  read(torrent: SimTorrent, index: number): void {
    if (index === 0) this.ledger.firstByte(torrent);
  }

  completed(torrent: SimTorrent): void {
    torrent.host.announcer.completed(torrent.blob);
    this.ledger.completed(torrent);
  }

  stalled(torrent: SimTorrent, waitedMs: number): void {
    this.#asks.stalled(torrent, waitedMs);
  }

  /** The torrent of a blob on a host, joined to its swarm. */
  join(host: SimHost, blob: SimBlob): SimTorrent {
    const known = host.torrents.get(blob);
    if (known) return known;
    const torrent = new SimTorrent(this, host, blob, false);
    host.torrents.set(blob, torrent);
    host.announcer.join(blob, false, WANTED_PEERS);
    return torrent;
  }

  targetOf(host: SimHost, blob: SimBlob): DialTarget {
    const { id, index, role } = host;
    return { host: 'sim', port: index, role, infoHash: blob.infoHash, peerId: id };
  }

  #addAgents(): SimHost[] {
    const { agents, zones, scale } = this.scenario;
    const link = (): number => this.fluid.shares.addLink((zones?.link ?? 0) / scale / SECOND_MS);
    const zoneLinks = Array.from({ length: zones?.count ?? 0 }, () => ({ out: link(), in: link() }));
    return agents.map((rates, index) => {
      const zone = zones && index % zones.count;
      return this.#addHost('agent', rates, zone === undefined ? undefined : { ...zoneLinks[zone]!, zone });
    });
  }

  #addHost(
    role: 'agent' | 'origin',
    { up, down }: Rates,
    zone: { zone: number; out: number; in: number } | undefined,
  ): SimHost {
    const link = (rate: number): number =>
      this.fluid.shares.addLink(rate / WIRE_OVERHEAD / this.scenario.scale / SECOND_MS);
    const host = new SimHost({
      index: this.#hosts.length,
      role,
      zone: zone?.zone,
      sending: zone ? [link(up), zone.out] : [link(up)],
      receiving: zone ? [link(down), zone.in] : [link(down)],
    });
    host.announcer = new SimAnnouncer(this.#announcerParts(), host);
    this.#hosts.push(host);
    return host;
  }

  #announcerParts(): AnnouncerParts {
    return {
      clock: this.clock,
      tracker: this.tracker,
      random: this.random,
      roundTripMs: this.scenario.rttMs.near,
      onPeers: (host, blob, peers) => {
        const torrent = host.torrents.get(blob);
        for (const peer of peers) torrent?.offer(this.targetOf(peer, blob));
      },
    };
  }

  /** Who holds what at the start. */
  #seat(): void {
    const seat = (host: SimHost, blob: SimBlob): void => {
      host.torrents.set(blob, new SimTorrent(this, host, blob, true));
      this.tracker.announce(host, blob, { complete: true, want: 0 }, 0);
    };
    for (const { agent, blob } of this.scenario.holders) seat(this.agents[agent]!, this.blobs[blob]!);
    for (const host of this.#hosts) host.announcer.startSeated();
    if (this.scenario.coldFrom !== undefined) return;
    for (const blob of this.blobs) seat(this.ownerOf(blob)!, blob);
  }

  /** The ring's first owner that lives. */
  ownerOf(blob: SimBlob): SimHost | undefined {
    return this.#ring(blob).find(({ alive }) => alive);
  }

  /** Who owned it at the start. */
  firstOwnerOf(blob: SimBlob): SimHost {
    return this.#ring(blob)[0]!;
  }

  #ring(blob: SimBlob): SimHost[] {
    const ids = this.origins.map(({ id }) => id);
    return owners(blob.id, ids).map((id) => this.origins[ids.indexOf(id)]!);
  }

  /** Ticks of processes do not coincide. */
  #startTicks(host: SimHost): void {
    const tick = (): void => {
      if (!host.alive) return;
      for (const torrent of host.torrents.values()) torrent.tick();
      this.clock.after(TICK_MS, tick);
    };
    this.clock.after(this.random() * TICK_MS, tick);
  }

  #every(milliseconds: number, act: () => void): void {
    this.clock.after(milliseconds, () => {
      act();
      this.#every(milliseconds, act);
    });
  }

  #pull(host: SimHost, blob: SimBlob): void {
    this.ledger.began(host, blob);
    if (host.alive) this.#asks.ask(host, blob, () => this.join(host, blob).read());
  }

  #connect(torrent: SimTorrent, far: SimTorrent | undefined, target: DialTarget): boolean {
    if (!far || far === torrent) return false;
    if (!far.connections.welcome(torrent.host, false) || !torrent.connections.welcome(far.host, true))
      return false;
    const near = new SimPeer(torrent, far.host, target);
    const other = new SimPeer(far, torrent.host, undefined);
    near.other = other;
    other.other = near;
    far.attach(other);
    torrent.attach(near);
    return true;
  }

  #fail(failure: Failure): void {
    switch (failure.kind) {
      case 'agent-dies':
        return this.#die(this.agents[failure.agent]!, IDLE_TIMEOUT_MS);
      case 'owner-killed': {
        const owner = this.ownerOf(this.blobs[failure.blob]!);
        return owner && this.#die(owner, 0);
      }
      case 'tracker-away':
        return this.tracker.goAway(this.clock.now, this.clock.now + failure.seconds * SECOND_MS);
    }
  }

  /** Nothing leaves it nor reaches it from now on; its peers close their ends after `noticed` milliseconds. */
  #die(host: SimHost, noticed: number): void {
    host.alive = false;
    this.ledger.died(host);
    const peers = host.torrents
      .values()
      .flatMap(({ connections }) => connections.peers)
      .toArray();
    for (const peer of peers) {
      peer.silent = peer.other.silent = true;
      this.fluid.stop(peer.flow);
      this.fluid.stop(peer.other.flow);
    }
    this.clock.after(noticed, () => {
      for (const peer of peers) closeConnection(peer);
    });
  }
}

function makeBlob(name: string, size: number): SimBlob {
  const hash = createHash('sha256').update(`blob ${name}`).digest();
  return { id: `sha256:${hash.toString('hex')}`, infoHash: hash.subarray(0, 20), size: Math.ceil(size) };
}

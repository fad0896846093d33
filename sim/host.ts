import { placeOf, type Member, type Place } from '#swarm/core/handout.ts';
import type { SimAnnouncer } from './announcer.ts';
import type { SimTorrent } from './torrent.ts';

/** A blob of the scenario. */
export interface SimBlob {
  readonly id: string;
  /** 20 bytes. */
  readonly infoHash: Buffer;
  /** Simulated bytes: the real ones divided by the scenario's scale. */
  readonly size: number;
}

export interface HostOptions {
  readonly index: number;
  readonly role: 'agent' | 'origin';
  /** Its own links and its zone's. */
  readonly sending: readonly number[];
  readonly receiving: readonly number[];
  readonly zone: number | undefined;
}

/** A machine with one part on it. As a `Member` it is what the tracker knows of it. */
export class SimHost implements Member {
  readonly index: number;
  readonly id: string;
  readonly role: 'agent' | 'origin';
  readonly place: Place;
  readonly zone: number | undefined;
  readonly torrents = new Map<SimBlob, SimTorrent>();
  announcer!: SimAnnouncer;
  alive = true;
  /** Messages it sent to peers, blocks not among them. */
  messages = 0;
  readonly #sending: readonly number[];
  readonly #receiving: readonly number[];

  constructor({ index, role, zone, sending, receiving }: HostOptions) {
    this.index = index;
    this.role = role;
    this.zone = zone;
    this.id = index.toString(16).padStart(40, '0');
    this.place = placeOf({ node: `node-${index}`, zone: zone === undefined ? undefined : `zone-${zone}` });
    this.#sending = sending;
    this.#receiving = receiving;
  }

  /** The links that bytes to another host cross; a zone's own only where they leave it. */
  linksTo(other: SimHost): number[] {
    if (this.zone === other.zone) return [this.#sending[0]!, other.#receiving[0]!];
    return [...this.#sending, ...other.#receiving];
  }

  get connections(): number {
    let sum = 0;
    for (const torrent of this.torrents.values()) sum += torrent.connections.peers.length;
    return sum;
  }
}

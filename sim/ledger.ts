import type { SimBlob, SimHost } from './host.ts';
import type { SimTorrent } from './torrent.ts';
import type { World } from './world.ts';

/** One agent's pull of one blob; times in virtual milliseconds. */
export interface PullRecord {
  readonly host: SimHost;
  readonly blob: SimBlob;
  readonly startedAt: number;
  firstByteAt: number | undefined;
  endedAt: number | undefined;
}

/** What is counted while a scenario runs. Simulated bytes. */
export class Ledger {
  readonly pulls: PullRecord[] = [];
  /** By host index. */
  readonly sent: Float64Array;
  readonly taken: Float64Array;
  readonly byZone: Float64Array;
  duplicateBytes = 0;
  /** Connections of one host, and of all hosts together, when there were most. */
  mostConnections = 0;
  mostConnectionsInAll = 0;
  /** Memory for pieces, peers and requests of all hosts together, when it was most. Bytes. */
  mostStateBytes = 0;
  readonly #world: World;
  readonly #open = new Map<SimTorrent['host'], Map<SimBlob, PullRecord>>();
  #left: number;

  constructor(world: World) {
    this.#world = world;
    this.sent = new Float64Array(world.hosts.length);
    this.taken = new Float64Array(world.hosts.length);
    this.byZone = new Float64Array(world.scenario.zones?.count ?? 0);
    this.#left = world.scenario.pulls.length;
  }

  /** No pull is left that could end. */
  get done(): boolean {
    return this.#left === 0;
  }

  began(host: SimHost, blob: SimBlob): void {
    if (!host.alive) return void this.#left--;
    const startedAt = this.#world.clock.now;
    const record = { host, blob, startedAt, firstByteAt: undefined, endedAt: undefined };
    this.pulls.push(record);
    const open = this.#open.get(host) ?? new Map<SimBlob, PullRecord>();
    this.#open.set(host, open.set(blob, record));
  }

  firstByte({ host, blob }: SimTorrent): void {
    const record = this.#open.get(host)?.get(blob);
    if (record) record.firstByteAt = this.#world.clock.now;
  }

  completed({ host, blob }: SimTorrent): void {
    const record = this.#open.get(host)?.get(blob);
    if (!record) return;
    record.endedAt = this.#world.clock.now;
    this.#open.get(host)!.delete(blob);
    this.#left--;
  }

  died(host: SimHost): void {
    this.#left -= this.#open.get(host)?.size ?? 0;
    this.#open.delete(host);
  }

  received(host: SimHost, from: SimHost, bytes: number, wanted: boolean): void {
    this.sent[from.index]! += bytes;
    this.taken[host.index]! += bytes;
    if (!wanted) this.duplicateBytes += bytes;
    if (host.zone !== undefined && host.zone !== from.zone) this.byZone[host.zone]! += bytes;
  }

  sample(): void {
    let all = 0;
    let stateBytes = 0;
    for (const host of this.#world.hosts) {
      const { connections } = host;
      all += connections;
      for (const torrent of host.torrents.values()) stateBytes += torrent.stateBytes;
      this.mostConnections = Math.max(this.mostConnections, connections);
    }
    this.mostStateBytes = Math.max(this.mostStateBytes, stateBytes);
    this.mostConnectionsInAll = Math.max(this.mostConnectionsInAll, all);
  }
}

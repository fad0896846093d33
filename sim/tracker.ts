import { SwarmIndex } from '#swarm/core/handout.ts';
import type { SimBlob, SimHost } from './host.ts';

/** A member that has not been heard of for this long is forgotten; knob `memberTimeout`. Milliseconds. */
const MEMBER_TIMEOUT_MS = 75_000;
const SECOND_MS = 1_000;

/** Knob `maxCrossZonePeers`. */
const MAX_CROSS_ZONE = 4;

/** What a member tells and asks of one swarm. */
export interface Line {
  complete: boolean;
  want: number;
}

/** Who is in which swarm; decides by `swarm/core`'s handout whom to name. */
export class SimTracker {
  readonly #random: () => number;
  readonly #swarms = new Map<SimBlob, SwarmIndex<SimHost>>();
  readonly #heardAt = new Map<SimHost, number>();
  /** Requests in each second since the start. */
  readonly requests: number[] = [];
  /** When it cannot be reached, in milliseconds. */
  #away = { from: Infinity, to: Infinity };

  constructor(random: () => number) {
    this.#random = random;
  }

  goAway(from: number, to: number): void {
    this.#away = { from, to };
  }

  /** Notes a request. @returns false if it is lost */
  ask(now: number): boolean {
    const second = Math.floor(now / SECOND_MS);
    while (this.requests.length <= second) this.requests.push(0);
    this.requests[second]!++;
    return now < this.#away.from || now >= this.#away.to;
  }

  /** Puts a member in a swarm, or changes its seat. @returns whom it is told of */
  announce(host: SimHost, blob: SimBlob, { complete, want }: Line, now: number): SimHost[] {
    this.#heardAt.set(host, now);
    const swarm = this.#swarm(blob);
    if (!swarm.setComplete(host.id, complete)) swarm.set(host, complete);
    if (want === 0) return [];
    const asker = { id: host.id, role: host.role, place: host.place, complete };
    return swarm
      .handOut({ asker, want, random: this.#random, maxCrossZone: MAX_CROSS_ZONE })
      .map((seat) => seat.member);
  }

  heartbeat(host: SimHost, now: number): void {
    this.#heardAt.set(host, now);
  }

  /** Forgets those that have been silent. */
  sweep(now: number): void {
    for (const [host, at] of this.#heardAt) {
      if (now - at < MEMBER_TIMEOUT_MS) continue;
      this.#heardAt.delete(host);
      for (const swarm of this.#swarms.values()) swarm.delete(host.id);
    }
  }

  #swarm(blob: SimBlob): SwarmIndex<SimHost> {
    let swarm = this.#swarms.get(blob);
    if (!swarm) this.#swarms.set(blob, (swarm = new SwarmIndex<SimHost>()));
    return swarm;
  }
}

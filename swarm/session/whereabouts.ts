import type { Topology } from '#swarm/core/handout.ts';

/** Where bytes came from, as seen from here; `unknown` where one of the two sides does not know its zone. */
export type Locality = 'same-zone' | 'cross-zone' | 'unknown';

/** The zone that this process is in: as configured, else as the tracker says once it was announced to. */
export class Whereabouts {
  #zone: string | undefined;
  readonly #isConfigured: boolean;

  constructor(topology: Pick<Topology, 'zone' | 'region'>) {
    this.#zone = nameOf(topology);
    this.#isConfigured = this.#zone !== undefined;
  }

  /** Region and zone in one, as members tell each other. */
  get zone(): string | undefined {
    return this.#zone;
  }

  /** The tracker knows the node. */
  learn(topology: Pick<Topology, 'zone' | 'region'>): void {
    if (!this.#isConfigured) this.#zone = nameOf(topology);
  }

  localityOf(zone: string | undefined): Locality {
    if (zone === undefined || this.#zone === undefined) return 'unknown';
    return zone === this.#zone ? 'same-zone' : 'cross-zone';
  }
}

/** Zones of two regions may have one name. */
function nameOf({ zone, region }: Pick<Topology, 'zone' | 'region'>): string | undefined {
  return zone === undefined ? undefined : `${region ?? ''}/${zone}`;
}

import { join } from 'node:path';

import { CLUSTER_KEY_FILE, ORIGIN_KEY_FILE, writeKeys, writeSigningKey } from '#cli/keys.ts';
import type { Part } from '#service/config/load.ts';

/** One process of a development cluster. */
export interface PlannedPart {
  readonly name: string;
  readonly part: Part;
  /** As it stands in the part's YAML file. */
  readonly config: Readonly<Record<string, unknown>>;
  /** `host:port` of `/readyz`. */
  readonly status: string;
  /** `host:port` of the door, of agents. */
  readonly door?: string;
  readonly ports: readonly number[];
}

export interface PlanOptions {
  /** Keys and data of all parts. */
  readonly directory: string;
  readonly agents: number;
  /** First of the ports that are used, one after another. */
  readonly firstPort: number;
  readonly logLevel: string;
  /** Upstream hosts that may be asked over plain HTTP. */
  readonly plainHosts: readonly string[];
}

const ORIGINS = 2;
const PORTS_PER_PART = 3;

/** Ports that a cluster of so many agents takes. */
export function portsNeeded(agents: number): number {
  return (agents + ORIGINS + 1) * PORTS_PER_PART;
}

/** Makes the keys, or reads those of an earlier run, and says what each part is told. */
export async function planCluster(options: PlanOptions): Promise<PlannedPart[]> {
  const { directory, agents, firstPort } = options;
  const places = Array.from({ length: agents + ORIGINS + 1 }, (_, index) =>
    placeAt(firstPort + index * PORTS_PER_PART),
  );
  // Agents come first: the first door is at the first port, where runtimes look by default.
  const agentPlaces = places.slice(0, agents);
  const originPlaces = places.slice(agents, agents + ORIGINS);
  const trackerPlaces = places.slice(agents + ORIGINS);
  const shared = {
    ...common(options),
    trackers: trackerPlaces.map(({ main }) => main),
    origins: originPlaces.map(({ main }) => main),
    trustedOriginKeys: await writeAllKeys(directory),
    upstreams: { hosts: Object.fromEntries(options.plainHosts.map((host) => [host, { plainHttp: true }])) },
  };
  return [
    ...trackerPlaces.map((place) => planTracker(place, options)),
    ...originPlaces.map((place, index) => planOrigin(place, index, shared, directory)),
    ...agentPlaces.map((place, index) => planAgent(place, index, shared, directory)),
  ];
}

/** @returns the origins' public keys. */
async function writeAllKeys(directory: string): Promise<string[]> {
  const keys = [await writeKeys(directory)];
  for (let index = 1; index < ORIGINS; index += 1)
    keys.push(await writeSigningKey(originKey(directory, index)));
  return keys;
}

type Knobs = Readonly<Record<string, unknown>>;

function common({ directory, logLevel }: PlanOptions): Knobs {
  return {
    security: 'cluster-key',
    clusterKeyFile: join(directory, CLUSTER_KEY_FILE),
    log: { level: logLevel },
  };
}

function planTracker(place: Place, options: PlanOptions): PlannedPart {
  const { main, status, ports } = place;
  const config = { ...common(options), listen: main, status: { listen: status } };
  return { name: 'tracker', part: 'tracker', config, status, ports };
}

function planOrigin(place: Place, index: number, shared: Knobs, directory: string): PlannedPart {
  const name = `origin-${index + 1}`;
  const own = { listen: place.main, advertise: place.main, signingKeyFile: originKey(directory, index) };
  const config = { ...member(name, place, shared, directory), ...own };
  return { name, part: 'origin', config, status: place.status, ports: place.ports };
}

function planAgent(place: Place, index: number, shared: Knobs, directory: string): PlannedPart {
  const name = `agent-${index + 1}`;
  const config = { ...member(name, place, shared, directory), door: { listen: place.main } };
  return { name, part: 'agent', config, status: place.status, door: place.main, ports: place.ports };
}

function member(name: string, place: Place, shared: Knobs, directory: string): Knobs {
  return {
    ...shared,
    node: { name },
    status: { listen: place.status },
    peer: { listen: place.peer, advertise: place.peer },
    store: { path: join(directory, name) },
  };
}

function originKey(directory: string, index: number): string {
  return join(directory, index === 0 ? ORIGIN_KEY_FILE : `origin-${index + 1}.key`);
}

interface Place {
  readonly main: string;
  readonly status: string;
  readonly peer: string;
  readonly ports: readonly number[];
}

function placeAt(port: number): Place {
  const ports = [port, port + 1, port + 2] as const;
  const [main, status, peer] = ports;
  return { main: `127.0.0.1:${main}`, status: `127.0.0.1:${status}`, peer: `127.0.0.1:${peer}`, ports };
}

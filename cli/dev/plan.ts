import { join } from 'node:path';

import { CLUSTER_KEY_FILE, writeKeys, writeSigningKey } from '#cli/keys.ts';
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
  return (1 + ORIGINS + agents) * PORTS_PER_PART;
}

/** Makes the keys, or reads those of an earlier run, and says what each part is told. */
export async function planCluster(options: PlanOptions): Promise<PlannedPart[]> {
  const { directory, agents, firstPort, logLevel, plainHosts } = options;
  const places = Array.from({ length: 1 + ORIGINS + agents }, (_, index) =>
    placeAt(firstPort + index * PORTS_PER_PART),
  );
  // Agents come first: the first door is at the first port, where runtimes look by default.
  const agentPlaces = places.slice(0, agents);
  const originPlaces = places.slice(agents, agents + ORIGINS);
  const trackerPlace = places.slice(-1);
  const keys = [await writeKeys(directory)];
  for (const index of originPlaces.keys())
    if (index > 0) keys.push(await writeSigningKey(originKey(directory, index)));
  const common = {
    security: 'cluster-key',
    clusterKeyFile: join(directory, CLUSTER_KEY_FILE),
    log: { level: logLevel },
  };
  const origins = originPlaces.map(({ main }) => main);
  const shared = {
    ...common,
    trackers: trackerPlace.map(({ main }) => main),
    origins,
    trustedOriginKeys: keys,
    upstreams: { hosts: Object.fromEntries(plainHosts.map((host) => [host, { plainHttp: true }])) },
  };
  const member = (name: string, place: Place) => ({
    ...shared,
    node: { name },
    status: { listen: place.status },
    peer: { listen: place.peer, advertise: place.peer },
    store: { path: join(directory, name) },
  });
  return [
    ...trackerPlace.map((place) => ({
      ...planned('tracker', 'tracker', place),
      config: { ...common, listen: place.main, status: { listen: place.status } },
    })),
    ...originPlaces.map((place, index) => ({
      ...planned(`origin-${index + 1}`, 'origin', place),
      config: {
        ...member(`origin-${index + 1}`, place),
        listen: place.main,
        advertise: place.main,
        signingKeyFile: originKey(directory, index),
      },
    })),
    ...agentPlaces.map((place, index) => ({
      ...planned(`agent-${index + 1}`, 'agent', place),
      config: { ...member(`agent-${index + 1}`, place), door: { listen: place.main } },
      door: place.main,
    })),
  ];
}

function originKey(directory: string, index: number): string {
  return join(directory, index === 0 ? 'origin.key' : `origin-${index + 1}.key`);
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

function planned(name: string, part: Part, { status, ports }: Place): Omit<PlannedPart, 'config'> {
  return { name, part, status, ports };
}

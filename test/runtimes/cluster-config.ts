import { join } from 'node:path';
import { freePort } from '../../demo/free-port.ts';
import type { Keys } from './keys.ts';
import type { PartConfig } from './part.ts';

const QUOTA = '4GiB';

/** How an upstream is reached; see the knob `upstreams.hosts`. */
interface UpstreamHost {
  endpoint?: string;
  ca?: string;
  plainHttp?: boolean;
}

/** Where the parts of one cluster listen, all on 127.0.0.1. */
export interface Addresses {
  tracker: { listen: string; status: string; strangers: string };
  origins: { listen: string; status: string; peer: string }[];
  agents: { door: string; status: string; peer: string }[];
}

export interface ClusterKnobs {
  /** By the upstream's name. */
  upstreams: Readonly<Record<string, UpstreamHost>>;
  strangers?: boolean;
  /** Certificates in the place of the cluster key. */
  mtls?: Readonly<Record<'certFile' | 'keyFile' | 'caFile', string>>;
  /** Registries that get what clients give to the agents' doors. */
  logins?: readonly string[];
  /** Knobs for every agent or origin, over the harness' own. */
  agent?: Readonly<Record<string, unknown>>;
  origin?: Readonly<Record<string, unknown>>;
}

export async function chooseAddresses(origins: number, agents: number): Promise<Addresses> {
  const tracker = { listen: await address(), status: await address(), strangers: await address() };
  const addresses: Addresses = { tracker, origins: [], agents: [] };
  while (addresses.origins.length < origins) {
    addresses.origins.push({ listen: await address(), status: await address(), peer: await address() });
  }
  while (addresses.agents.length < agents) {
    addresses.agents.push({ door: await address(), status: await address(), peer: await address() });
  }
  return addresses;
}

async function address(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}

/** The YAML files of a cluster that is secured as in production. */
export class ClusterConfig {
  readonly #directory: string;
  readonly #addresses: Addresses;
  readonly #keys: Keys;
  readonly #knobs: ClusterKnobs;

  constructor(directory: string, addresses: Addresses, keys: Keys, knobs: ClusterKnobs) {
    this.#directory = directory;
    this.#addresses = addresses;
    this.#keys = keys;
    this.#knobs = knobs;
  }

  tracker(): PartConfig {
    const { listen, status, strangers } = this.#addresses.tracker;
    return {
      ...this.#common(status),
      listen,
      // Short, so that a tracker that was started empty is whole again within a test's patience.
      announceInterval: '2s',
      memberTimeout: '6s',
      ...(this.#knobs.strangers === true ? { strangers: { listen: strangers } } : {}),
    };
  }

  origin(index: number, { listen, status, peer }: Addresses['origins'][number]): PartConfig {
    return {
      ...this.#peered(status, peer),
      node: { name: `origin-${index}` },
      listen,
      advertise: listen,
      signingKeyFile: this.#keys.signingKeyFiles[index],
      strangerRepositories: ['*'],
      store: { path: join(this.#directory, `origin-${index}`), quota: QUOTA },
      ...this.#knobs.origin,
    };
  }

  agent(index: number, { door, status, peer }: Addresses['agents'][number]): PartConfig {
    return {
      ...this.#peered(status, peer),
      node: { name: `node-${index}` },
      door: { listen: door, logins: this.#knobs.logins ?? [] },
      store: { path: join(this.#directory, `agent-${index}`), quota: QUOTA },
      ...this.#knobs.agent,
    };
  }

  #common(status: string): PartConfig {
    const { clusterKeyFile } = this.#keys;
    const { mtls } = this.#knobs;
    const identity =
      mtls === undefined ? { security: 'cluster-key', clusterKeyFile } : { security: 'mtls', mtls };
    return { ...identity, log: { level: 'debug' }, status: { listen: status } };
  }

  #peered(status: string, peer: string): PartConfig & { peer: { listen: string } } {
    return {
      ...this.#common(status),
      peer: { listen: peer },
      trackers: [this.#addresses.tracker.listen],
      origins: this.#addresses.origins.map(({ listen }) => listen),
      trustedOriginKeys: this.#keys.trustedOriginKeys,
      upstreams: { hosts: this.#knobs.upstreams },
      strangers: this.#knobs.strangers ?? false,
    };
  }
}

import { join } from 'node:path';
import { CLUSTER_KEY_FILE, ORIGIN_KEY_FILE, writeKeys } from '#cli/keys.ts';
import {
  AGENT_STATUS_PORT,
  DOOR_PORT,
  ORIGIN_PORT,
  ORIGIN_STATUS_PORT,
  TRACKER_PORT,
  TRACKER_STATUS_PORT,
} from './defaults.ts';
import type { PartPlan } from './part.ts';

export interface ClusterPlan {
  /** Keys and stores. */
  readonly directory: string;
  /** Addresses of the hosts. */
  readonly tracker: string;
  readonly origins: readonly string[];
  /** `host:port` of the upstream registry. */
  readonly registry: string;
  /** Of every store; undefined is the default. Bytes. */
  readonly quotaBytes: number | undefined;
}

type Knobs = Readonly<Record<string, unknown>>;

/** What each part is told: as in production, with keys made on the spot. Ports are the defaults. */
export class Plans {
  readonly #plan: ClusterPlan;
  readonly #publicKey: string;

  private constructor(plan: ClusterPlan, publicKey: string) {
    this.#plan = plan;
    this.#publicKey = publicKey;
  }

  static async create(plan: ClusterPlan): Promise<Plans> {
    return new Plans(plan, await writeKeys(plan.directory));
  }

  tracker(): PartPlan {
    return { kind: 'tracker', statusPort: TRACKER_STATUS_PORT, config: this.#common() };
  }

  origin(name: string, address: string): PartPlan {
    const { directory } = this.#plan;
    const config = {
      ...this.#member(name),
      advertise: `${address}:${ORIGIN_PORT}`,
      signingKeyFile: join(directory, ORIGIN_KEY_FILE),
    };
    return { kind: 'origin', statusPort: ORIGIN_STATUS_PORT, config };
  }

  agent(name: string, zone: string): PartPlan {
    const config = {
      ...this.#member(name, zone),
      door: { listen: `127.0.0.1:${DOOR_PORT}` },
    };
    return { kind: 'agent', statusPort: AGENT_STATUS_PORT, doorPort: DOOR_PORT, config };
  }

  storeOf(name: string): string {
    return join(this.#plan.directory, 'stores', name);
  }

  #common(): Knobs {
    return { security: 'cluster-key', clusterKeyFile: join(this.#plan.directory, CLUSTER_KEY_FILE) };
  }

  #member(name: string, zone?: string): Knobs {
    const { tracker, origins, registry, quotaBytes } = this.#plan;
    return {
      ...this.#common(),
      node: zone === undefined ? { name } : { name, zone },
      trackers: [`${tracker}:${TRACKER_PORT}`],
      origins: origins.map((address) => `${address}:${ORIGIN_PORT}`),
      trustedOriginKeys: [this.#publicKey],
      store: { path: this.storeOf(name), ...(quotaBytes === undefined ? {} : { quota: String(quotaBytes) }) },
      upstreams: { hosts: { [registry]: { plainHttp: true } } },
    };
  }
}

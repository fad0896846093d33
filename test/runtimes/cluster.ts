import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../support/free-port.ts';
import { spawnShoal, type ShoalProcess } from '../support/spawn-shoal.ts';
import { parseMetrics, type Sample } from './metrics.ts';
import { makeKeys } from './keys.ts';

const ORIGINS = 2;
const AGENTS = 6;

/** How an upstream is reached; see the knob `upstreams.hosts`. */
export interface UpstreamHost {
  endpoint?: string;
  ca?: string;
  plainHttp?: boolean;
}

export interface ClusterOptions {
  directory: string;
  /** By the upstream's name. */
  upstreams: Readonly<Record<string, UpstreamHost>>;
  agents?: number;
  origins?: number;
  strangers?: boolean;
  /** Knobs for every agent or origin, over the harness' own. */
  agent?: Readonly<Record<string, unknown>>;
  origin?: Readonly<Record<string, unknown>>;
}

/** The YAML file of a part, as far as the harness reads it itself. */
interface PartConfig {
  readonly [knob: string]: unknown;
  readonly peer?: { readonly listen: string };
}

/** One Shoal process that can be killed and started again with the configuration and the data it had. */
export class Part implements AsyncDisposable {
  readonly name: string;
  readonly config: PartConfig;
  readonly statusUrl: string;
  readonly #role: string;
  readonly #graceMs: number;
  #process: ShoalProcess | undefined;
  #past = '';

  constructor(role: string, name: string, config: PartConfig, status: string) {
    this.#role = role;
    this.name = name;
    this.config = config;
    this.statusUrl = `http://${status}`;
    this.#graceMs = 3000;
  }

  async start(): Promise<void> {
    this.#process ??= await spawnShoal([this.#role], {
      config: this.config,
      readyUrl: `${this.statusUrl}/readyz`,
      graceMs: this.#graceMs,
    });
  }

  /** SIGKILL: no chance to tidy up. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#forget();
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    await this.#forget();
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Where its peer wire listens; the tracker has none. */
  get peerAddress(): string | undefined {
    return this.config.peer?.listen;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  logs(): string {
    return this.#past + (this.#process?.logs() ?? '');
  }

  async metrics(): Promise<Sample[]> {
    const response = await fetch(`${this.statusUrl}/metrics`);
    if (!response.ok) throw new Error(`${this.name}: /metrics answered ${response.status}`);
    return parseMetrics(await response.text());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #forget(): Promise<void> {
    const ended = this.#process;
    if (ended === undefined) return;
    this.#process = undefined;
    await ended.exited;
    this.#past += ended.logs();
    await ended[Symbol.asyncDispose]();
  }
}

export class Agent extends Part {
  /** `http://127.0.0.1:29500` */
  readonly door: string;
  /** `127.0.0.1:29500` */
  readonly doorAddress: string;
  readonly storePath: string;

  constructor(name: string, config: PartConfig, status: string, doorAddress: string, storePath: string) {
    super('agent', name, config, status);
    this.doorAddress = doorAddress;
    this.door = `http://${doorAddress}`;
    this.storePath = storePath;
  }
}

export interface Cluster extends AsyncDisposable {
  readonly tracker: Part;
  readonly origins: readonly Part[];
  readonly agents: readonly Agent[];
  /** Plain HTTP listeners for strangers, one per origin; empty where they are not admitted. */
  readonly torrentUrls: readonly string[];
  /** What every process printed, for a failed test's message. */
  logs(): string;
}

/** Tracker, origins and agents, each a process of its own on loopback, with a cluster key as in production. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const directory = join(options.directory, 'cluster');
  await mkdir(directory, { recursive: true });
  const keys = await makeKeys(directory, options.origins ?? ORIGINS);
  const trackerAddress = await address();
  const strangersAddress = options.strangers === true ? await address() : undefined;
  const originAddresses = await addresses(options.origins ?? ORIGINS);
  const common = { security: 'cluster-key', clusterKeyFile: keys.clusterKeyFile, log: { level: 'debug' } };
  const peered = {
    ...common,
    trackers: [trackerAddress],
    origins: originAddresses,
    trustedOriginKeys: keys.trustedOriginKeys,
    upstreams: { hosts: options.upstreams },
    strangers: options.strangers ?? false,
  };

  const trackerStatus = await address();
  const tracker = new Part(
    'tracker',
    'tracker',
    {
      ...common,
      listen: trackerAddress,
      status: { listen: trackerStatus },
      announceInterval: '2s',
      memberTimeout: '6s',
      ...(strangersAddress === undefined ? {} : { strangers: { listen: strangersAddress } }),
    },
    trackerStatus,
  );
  stack.use(tracker);
  await tracker.start();

  const torrentUrls: string[] = [];
  const origins = await Promise.all(
    originAddresses.map(async (listen, index) => {
      const status = await address();
      const strangers = options.strangers === true ? await address() : undefined;
      if (strangers !== undefined) torrentUrls.push(`http://${strangers}`);
      const config = {
        ...peered,
        node: { name: `origin-${index}` },
        listen,
        advertise: listen,
        status: { listen: status },
        peer: { listen: await address() },
        signingKeyFile: keys.signingKeyFiles[index],
        store: { path: join(directory, `origin-${index}`), quota: '4GiB' },
        ...options.origin,
      };
      return stack.use(new Part('origin', `origin-${index}`, config, status));
    }),
  );
  await Promise.all(origins.map((origin) => origin.start()));

  const agents: Agent[] = [];
  for (let index = 0; index < (options.agents ?? AGENTS); index++) {
    const [door, status, peer] = await addresses(3);
    const path = join(directory, `agent-${index}`);
    const config = {
      ...peered,
      node: { name: `node-${index}` },
      door: { listen: door },
      status: { listen: status },
      peer: { listen: peer },
      store: { path, quota: '4GiB' },
      ...options.agent,
    };
    agents.push(stack.use(new Agent(`agent-${index}`, config, status ?? '', door ?? '', path)));
  }
  await Promise.all(agents.map((agent) => agent.start()));

  const resources = stack.move();
  const parts = [tracker, ...origins, ...agents];
  return {
    tracker,
    origins,
    agents,
    torrentUrls,
    logs: () => parts.map((part) => `── ${part.name}\n${part.logs()}`).join('\n'),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function address(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}

async function addresses(count: number): Promise<string[]> {
  const all: string[] = [];
  while (all.length < count) all.push(await address());
  return all;
}

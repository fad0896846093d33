import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { type RunningAgent, startAgent } from '#agent/agent.ts';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics, type Metrics } from '#service/metrics.ts';
import type { UpstreamRegistry } from '../../../demo/upstream-registry.ts';
import { type PulledBlob, pullBlob, type PullOptions } from '../../../demo/pull-blob.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../support/temporary-directory.ts';

export interface AgentFixture extends AsyncDisposable {
  readonly agent: RunningAgent;
  readonly metrics: Metrics;
  /** Log lines, parsed. */
  readonly log: Record<string, unknown>[];
  readonly directory: TemporaryDirectory;
  /** Asks the door as containerd does: `path` below `/v2/`, the registry by `ns`. */
  get(registry: { readonly host: string }, path: string, options?: PullOptions): Promise<PulledBlob>;
  /** Resolves when the store holds so many blobs: what is pulled is stored behind its last byte. */
  stored(blobs: number): Promise<void>;
  /** One metric's value, by its name without `shoal_agent_` and its labels. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
}

export interface AgentFixtureOptions {
  readonly registries: readonly Pick<UpstreamRegistry, 'host'>[];
  readonly trackers?: readonly string[];
  readonly origins?: readonly string[];
  readonly trustedOriginKeys?: readonly string[];
  /** An agent that is stopped first, and whose store this one takes up. */
  readonly after?: AgentFixture;
  /** Registries that get what clients give to the door. */
  readonly logins?: readonly string[];
  readonly requestsPerSecond?: number;
  readonly rights?: Record<string, string | number>;
  readonly fallback?: Record<string, string>;
  /** Of the store; 1 GiB by default. */
  readonly quota?: string;
  readonly bandwidth?: Record<string, string>;
  /** False by default. */
  readonly selfTest?: boolean;
  readonly upstreams?: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
}

/** A whole agent on loopback, with a store and a log of its own. */
export async function startAgentFixture(options: AgentFixtureOptions): Promise<AgentFixture> {
  await using starting = new AsyncDisposableStack();
  const directory = options.after?.directory ?? starting.use(await temporaryDirectory('agent'));
  if (options.after !== undefined) await options.after.agent[Symbol.asyncDispose]();
  const file = directory.join('agent.yaml');
  const {
    registries,
    upstreams,
    quota = '1GiB',
    after: _after,
    logins,
    requestsPerSecond,
    ...others
  } = options;
  const door = { ...(logins && { logins }), ...(requestsPerSecond && { requestsPerSecond }) };
  const hosts = Object.fromEntries(registries.map(({ host }) => [host, { plainHttp: true }]));
  const values = {
    security: 'off',
    log: { level: 'debug' },
    door: { listen: '127.0.0.1:0', ...door },
    status: { listen: '127.0.0.1:0' },
    peer: { listen: '127.0.0.1:0' },
    members: { listen: '127.0.0.1:0' },
    store: { path: directory.join('store'), quota },
    upstreams: { ...upstreams, hosts },
    fallback: { stall: '500ms', upstreamWait: '2s' },
    selfTest: false,
    ...others,
  };
  await writeFile(file, stringify(values));
  const log: Record<string, unknown>[] = [];
  const logger = createLogger('agent', {
    level: 'debug',
    destination: { write: (line: string) => void log.push(JSON.parse(line)) },
  });
  const metrics = createMetrics('agent', { process: false });
  const life = new AbortController();
  const config = loadConfig('agent', { file });
  const agent = starting.use(await startAgent(config, { signal: life.signal, logger, metrics, env: {} }));
  const metric = async (name: string, labels: Record<string, string> = {}): Promise<number> => {
    const { text } = await metrics.expose();
    return text
      .split('\n')
      .filter((line) => line.startsWith(`shoal_agent_${name}{`) || line.startsWith(`shoal_agent_${name} `))
      .filter((line) =>
        Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)),
      )
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  };
  const all = starting.move();
  return {
    agent,
    metrics,
    log,
    directory,
    get: (registry, path, pull) => pullBlob(`http://${agent.address}/v2/${path}?ns=${registry.host}`, pull),
    metric,
    stored: async (blobs) => {
      for (let waited = 0; (await metric('store_blobs')) < blobs; waited += 20) {
        if (waited > 5_000) throw new Error(`the store does not come to hold ${blobs} blobs`);
        await sleep(20);
      }
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Follows how much of a body has arrived. */
export class Arrival {
  #bytes = 0;
  readonly onBytes = (count: number): void => {
    this.#bytes += count;
  };

  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves when so many bytes are there. */
  async reach(bytes: number): Promise<void> {
    while (this.#bytes < bytes) await sleep(10);
  }
}

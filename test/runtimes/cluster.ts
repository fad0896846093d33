import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseAddresses, ClusterConfig, type ClusterKnobs } from './cluster-config.ts';
import { makeKeys } from './keys.ts';
import { Agent, Part } from './part.ts';

const ORIGINS = 2;
const AGENTS = 6;

export interface ClusterOptions extends ClusterKnobs {
  directory: string;
  agents?: number;
  origins?: number;
}

export interface Cluster extends AsyncDisposable {
  readonly tracker: Part;
  readonly origins: readonly Part[];
  readonly agents: readonly Agent[];
  readonly clusterKeyFile: string;
  /** Where strangers get a blob's .torrent file, which names this cluster's tracker: one URL per origin. */
  torrentUrls(digest: string): URL[];
  /** What every process printed, for a failed test's message. */
  logs(): string;
}

/** Tracker, origins and agents, each a process of its own on loopback, with a cluster key as in production. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack();
  const directory = join(options.directory, 'cluster');
  await mkdir(directory, { recursive: true });
  const addresses = await chooseAddresses(options.origins ?? ORIGINS, options.agents ?? AGENTS);
  const keys = await makeKeys(directory, addresses.origins.length);
  const config = new ClusterConfig(directory, addresses, keys, options);

  const tracker = stack.use(new Part('tracker', 'tracker', config.tracker(), addresses.tracker.status));
  const origins = addresses.origins.map((at, index) =>
    stack.use(new Part('origin', `origin-${index}`, config.origin(index, at), at.status)),
  );
  const agents = addresses.agents.map((at, index) =>
    stack.use(new Agent(`agent-${index}`, config.agent(index, at), at.status, at.door)),
  );
  const parts = [tracker, ...origins, ...agents];
  await startAll(parts);
  const resources = stack.move();
  return {
    tracker,
    origins,
    agents,
    clusterKeyFile: keys.clusterKeyFile,
    torrentUrls: (digest) =>
      addresses.origins.map(({ listen }) => {
        const url = new URL(`http://${listen}/torrents/${digest}.torrent`);
        url.searchParams.set('tracker', `http://${addresses.tracker.strangers}/announce`);
        return url;
      }),
    logs: () => parts.map((part) => `── ${part.name}\n${part.logs()}`).join('\n'),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Waits for all of them even if one fails, so that none is left that still starts. */
async function startAll(parts: readonly Part[]): Promise<void> {
  for (const result of await Promise.allSettled(parts.map((part) => part.start()))) {
    if (result.status === 'rejected') throw result.reason;
  }
}

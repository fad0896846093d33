import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { PartsLog, startDemoCluster, type DemoCluster } from './cluster.ts';
import { askSources } from './door-sources.ts';
import { makeImage, type Image } from './image.ts';
import { chooseLayers } from './layers.ts';
import { LiveWriter, type Screen } from './live-writer.ts';
import { NodePull } from './node-pull.ts';
import type { DemoOptions } from './options.ts';
import type { DemoResult, NodeResult } from './result-table.ts';
import { pullTogether, type Round } from './round.ts';
import { formatBytes, formatSeconds } from './units.ts';
import { UpstreamRegistry } from './upstream-registry.ts';
import { WARM_UP_BYTES, warmUp } from './warm-up.ts';
import { openWorkspace } from './workspace.ts';

const REPOSITORY = 'demo/app';
const TAG = 'v1';
/** From the question to the registry to its answer. */
const LATENCY_MS = 20;
const ORIGINS = 2;
/** A pull that takes so much longer than the link needs has failed. */
const PATIENCE = 5;
const PATIENCE_MS = 60_000;

export interface DemoParts {
  readonly signal: AbortSignal;
  readonly screen: Screen;
}

/** What the demo came to, and what went wrong in it. */
export interface DemoOutcome {
  readonly result: DemoResult;
  /** For people; empty when all is well. */
  readonly failures: readonly string[];
}

/**
 * Makes the image, serves it from a slow registry, and pulls it with all nodes at once: through Shoal, then directly.
 * Whatever was started is stopped, and whatever was written is removed, when this is over, however it ends.
 * @throws Error when a part does not start or ends by itself; the signal's reason
 */
export async function runDemo(options: DemoOptions, parts: DemoParts): Promise<DemoOutcome> {
  const { signal, screen } = parts;
  const say = (text: string): void => void screen.write(`${text}\n`);
  await using workspace = await openWorkspace(
    (options.imageSize + WARM_UP_BYTES) * (options.nodes + ORIGINS + 1) * 1.1,
  );
  say(introduction(options));
  const image = await timed(say, 'Making an image of real files', async () => {
    const layers = await chooseLayers(options.imageSize);
    const made = await makeImage({ dir: join(workspace.path, 'image'), layers, signal });
    return [made, `${formatBytes(made.totalBytes)} in ${made.layers.length} layers`];
  });
  await using registry = await UpstreamRegistry.start({
    bytesPerSecond: options.upstreamRate,
    latencyMs: LATENCY_MS,
  });
  await registry.addImage(REPOSITORY, TAG, image);
  const scene: Scene = { options, image, registry, directory: workspace.path, say, ...parts };
  const shoal = await pullThroughShoal(scene);
  const { upstreamBytes, maxCrossings } = countUpstream(scene);
  const direct = options.direct ? await pullDirectly(scene) : [];
  const result: DemoResult = {
    imageBytes: image.totalBytes,
    bytesPerSecond: options.upstreamRate,
    upstreamBytes,
    maxCrossings,
    nodes: shoal.map(nodeResult),
    direct: direct.map(nodeResult),
  };
  return { result, failures: [...shoal, ...direct].flatMap(failureOf) };
}

interface Scene extends DemoParts {
  readonly options: DemoOptions;
  readonly image: Image;
  readonly registry: UpstreamRegistry;
  readonly directory: string;
  readonly say: (text: string) => void;
}

function introduction({ nodes, upstreamRate }: DemoOptions): string {
  return [
    `${nodes} nodes want the same image at the same moment. The registry that has it is far away:`,
    `it answers after ${LATENCY_MS} ms and sends ${formatBytes(upstreamRate)}/s, to all of them together.`,
    '',
  ].join('\n');
}

async function pullThroughShoal(scene: Scene): Promise<NodePull[]> {
  const { options, registry, signal, say } = scene;
  await using log = await PartsLog.open(options.logs);
  await using stack = new AsyncDisposableStack();
  try {
    const what = `Starting a tracker, two origins and ${options.nodes} agents, secured by a key made for them`;
    const cluster = await timed(say, what, async () => [
      await startDemoCluster(
        {
          directory: join(scene.directory, 'cluster'),
          agents: options.nodes,
          registry: registry.host,
          logLevel: options.logs === undefined ? 'warn' : 'info',
        },
        { signal, stack, log },
      ),
      'each a process of its own',
    ]);
    return await pullFromAgents(scene, cluster);
  } catch (error) {
    if (!signal.aborted && log.tail !== '') say(`\nThe last that the parts said:\n${log.tail}`);
    throw error;
  }
}

async function pullFromAgents(scene: Scene, cluster: DemoCluster): Promise<NodePull[]> {
  const { registry } = scene;
  const broken = new AbortController();
  cluster.broken.catch((error: unknown) => broken.abort(error));
  const nodes = cluster.agents.map(({ name, door }) => ({ pull: new NodePull(name, now), door }));
  const learn = async (signal: AbortSignal): Promise<void> => {
    await Promise.all(nodes.map(({ pull, door }) => learnSources(pull, door, signal)));
  };
  const pulls = nodes.map(({ pull, door }) => ({ pull, from: { base: door, ns: registry.host } }));
  await warmUpNodes(scene, cluster, broken.signal);
  registry.log.clear();
  await runRound(scene, { title: 'Through Shoal', pulls, learn }, broken.signal);
  broken.signal.throwIfAborted();
  return nodes.map(({ pull }) => pull);
}

async function warmUpNodes(scene: Scene, { agents }: DemoCluster, broken: AbortSignal): Promise<void> {
  const { directory, registry, say } = scene;
  const doors = agents.map(({ door }) => door);
  const signal = AbortSignal.any([scene.signal, broken, AbortSignal.timeout(PATIENCE_MS)]);
  setMaxListeners(0, signal); // every request of every node listens
  await timed(say, 'Pulling small images first, as nodes in use have done', async () => {
    const waits = await warmUp({ directory, registry, doors, signal });
    const told = waits.map((ms) => formatSeconds(ms / 1000));
    return [undefined, `the first byte of a layer came after ${told.join(', ')}`];
  });
}

async function pullDirectly(scene: Scene): Promise<NodePull[]> {
  const { registry, options } = scene;
  registry.log.clear();
  const pulls = Array.from({ length: options.nodes }, (_, index) => ({
    pull: new NodePull(`node-${index + 1}`, now),
    from: { base: registry.url },
  }));
  const learn = (): Promise<void> => {
    for (const { pull } of pulls) {
      pull.learn(TAG, { cache: 0, peer: 0, origin: 0, upstream: pull.progress.bytes });
    }
    return Promise.resolve();
  };
  await runRound(scene, { title: 'The same straight from the registry', pulls, learn });
  return pulls.map(({ pull }) => pull);
}

interface RoundPlan {
  readonly title: string;
  readonly pulls: readonly { pull: NodePull; from: { base: string; ns?: string } }[];
  readonly learn: Round['learn'];
}

async function runRound(
  { image, registry, options, signal, screen, say }: Scene,
  { title, pulls, learn }: RoundPlan,
  ...also: AbortSignal[]
): Promise<void> {
  const linkMs = (1000 * image.totalBytes * options.nodes) / options.upstreamRate;
  const limit = AbortSignal.timeout(Math.ceil(PATIENCE_MS + PATIENCE * linkMs));
  const either = AbortSignal.any([signal, limit, ...also]);
  setMaxListeners(0, either); // every request of every node listens
  say('');
  await pullTogether(
    {
      title,
      learn,
      imageBytes: image.totalBytes,
      digest: image.index.digest,
      pulls: pulls.map(({ pull, from }) => ({
        pull,
        from: { ...from, repository: REPOSITORY, reference: TAG },
      })),
      upstreamBytes: () => registry.log.bodyBytes,
    },
    { writer: new LiveWriter(screen, now), now, signal: either },
  );
  signal.throwIfAborted();
}

/** Asks for what moved; once the pull is over, for all of it. */
async function learnSources(pull: NodePull, door: string, signal: AbortSignal): Promise<void> {
  const digests = pull.pulled?.parts.map((part) => part.digest) ?? [...pull.arriving];
  pull.arriving.clear();
  for (const digest of digests) pull.learn(digest, await askSources(door, digest, signal));
}

/** How much left the registry until now, and how often the blob that left most did so. */
function countUpstream({ registry, image }: Scene): Pick<DemoResult, 'upstreamBytes' | 'maxCrossings'> {
  const sent = registry.log.bodyBytesByDigest();
  const crossings = [image.amd64.config, ...image.layers].map(
    ({ digest, size }) => (sent.get(digest) ?? 0) / size,
  );
  return { upstreamBytes: registry.log.bodyBytes, maxCrossings: Math.max(...crossings) };
}

function nodeResult(pull: NodePull): NodeResult {
  const { name, seconds, sources, pulled } = pull;
  const firstByteSeconds = pulled === undefined ? Number.NaN : pulled.firstByteMs / 1000;
  return { name, seconds, firstByteSeconds, sources, verified: pulled !== undefined };
}

function failureOf({ name, failure }: NodePull): string[] {
  return failure === undefined ? [] : [`${name}: ${failure.message}`];
}

async function timed<T>(
  say: (text: string) => void,
  what: string,
  work: () => Promise<[T, string]>,
): Promise<T> {
  const began = now();
  const [made, told] = await work();
  say(`${what}: ${told} (${formatSeconds((now() - began) / 1000)})`);
  return made;
}

function now(): number {
  return performance.now();
}

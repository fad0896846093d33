import type { Options } from '../options.ts';
import type { Link } from '../lower-bound.ts';
import { secondsFor } from '../lower-bound.ts';
import { REPOSITORY } from '../rig/defaults.ts';
import type { Blob, Content } from '../rig/content.ts';
import type { Part } from '../rig/part.ts';
import { type Measured, type Order, Rig, type RigOptions } from '../rig/rig.ts';
import type { Context, DirectOutcome, Pulled } from '../scenario.ts';

export const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Not shaped, a pull is late after this. */
const UNSHAPED_TIMEOUT_MS = 300_000;
/** Shaped, it is late when it took so much longer than pulling straight from the registry would. */
const PATIENCE = 3;
const LEAST_TIMEOUT_MS = 60_000;

/** The rig for the options, with what is to be pulled. */
export async function buildRig(
  options: Options,
  { signal, say }: Context,
  special: Pick<RigOptions, 'fill'> & Partial<RigOptions>,
): Promise<Rig> {
  const { nodes, queueMs, burstKib, profiles, nodeFlags, sizeMib, rateMbit } = options;
  say(`building: ${nodes} agents, tracker, origin, nginx as upstream registry`);
  const straight = rateMbit === undefined ? 0 : secondsFor(nodes * sizeMib * MIB, rateMbit) * 1000;
  const pullTimeoutMs =
    rateMbit === undefined ? UNSHAPED_TIMEOUT_MS : Math.ceil(Math.max(LEAST_TIMEOUT_MS, straight * PATIENCE));
  const shaping = { queueMs, burstBytes: burstKib * 1024 };
  const common = {
    agents: nodes,
    zones: 1,
    trunkMbit: undefined,
    ...shaping,
    profiles,
    nodeFlags,
    pullTimeoutMs,
    contentBytes: sizeMib * MIB,
  } as const;
  return Rig.build({ ...common, ...special }, signal);
}

/** One blob of the size asked for. */
export function fillWithOne({ sizeMib }: Options): (content: Content) => Promise<void> {
  return async (content) => void (await content.addBlob('one', sizeMib * MIB));
}

export function blobOrder(...blobs: readonly Blob[]): Order {
  return { stages: [blobs.map(({ digest }) => ({ path: blobPath(digest), digest }))] };
}

export function blobPath(digest: string): string {
  return `/v2/${REPOSITORY}/blobs/${digest}`;
}

export function linkOf(mbit: number | undefined): Link | undefined {
  return mbit === undefined ? undefined : { upMbit: mbit, downMbit: mbit };
}

/** All of them at once. */
export function pullAll(
  agents: readonly Part[],
  pull: (agent: Part) => Promise<Pulled['report']>,
  boundOf: (agent: Part) => number | undefined,
): Promise<Pulled[]> {
  return Promise.all(
    agents.map(async (agent) => ({
      agent: agent.name,
      report: await pull(agent),
      boundSeconds: boundOf(agent),
    })),
  );
}

/** The origin gets what the order names; then every link is as wide as the options say. */
export async function warmAndShape(
  rig: Rig,
  order: Order,
  { rateMbit }: Options,
  { say }: Context,
): Promise<Link | undefined> {
  say('warming the origin');
  await rig.warm(order);
  const link = linkOf(rateMbit);
  await rig.shape(() => link);
  return link;
}

/** These agents pull at once, measured; then the same straight from the registry. */
export async function pullBothWays(
  { rig, agents = rig.agents, order }: { rig: Rig; agents?: readonly Part[]; order: Order },
  boundOf: (agent: Part) => number | undefined,
  options: Options,
  context: Context,
): Promise<{ measured: Measured<Pulled[]>; direct: DirectOutcome | undefined }> {
  context.say(agents.length === 1 ? 'one pulls' : 'all pull');
  const measured = await rig.measure(() => pullAll(agents, (agent) => rig.pull(agent, order), boundOf));
  const direct = await runDirect(rig, options, context, () => pullDirectly(rig, agents, order));
  return { measured, direct };
}

/** Straight from the registry there is no bound to compare with. */
export function pullDirectly(rig: Rig, agents: readonly Part[], order: Order): Promise<Pulled[]> {
  return pullAll(
    agents,
    (agent) => rig.pullDirectly(agent, order),
    () => undefined,
  );
}

/** The same pulls straight from the registry, unless the options say no. */
export async function runDirect(
  rig: Rig,
  { direct }: Options,
  { say }: Context,
  work: () => Promise<readonly Pulled[]>,
): Promise<DirectOutcome | undefined> {
  if (!direct) return undefined;
  say('the same straight from nginx');
  const before = await Promise.all([rig.upstream.process.usage(), pullersSeconds(rig)]);
  const pulls = await work();
  const after = await Promise.all([rig.upstream.process.usage(), pullersSeconds(rig)]);
  const bytes = pulls.flatMap(({ report }) => report.fetched).reduce((sum, item) => sum + item.bytes, 0);
  const perGiB = (seconds: number): number => (seconds * GIB) / Math.max(bytes, 1);
  return {
    pulls,
    cpuSecondsPerGiB: perGiB(after[0].cpuSeconds - before[0].cpuSeconds),
    pullerCpuSecondsPerGiB: perGiB(after[1] - before[1]),
  };
}

async function pullersSeconds({ agents }: Rig): Promise<number> {
  const used = await Promise.all(agents.map(({ hand }) => hand.process.usage()));
  return used.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
}

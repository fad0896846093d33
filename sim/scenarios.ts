import { SHOAL_BLOCK_LENGTH } from '#swarm/wire/defaults.ts';
import { seededRandom } from './random.ts';
import type { Failure, Pull, Rates, Scenario } from './scenario.ts';

const KIB = 1024;
const MB = 1e6;
const GB = 1e9;
const GBIT = GB / 8;

/** Simulated bytes of a block. */
const BLOCK = 128 * KIB;

/** What the command line may change. */
export interface ScenarioOptions {
  readonly nodes?: number | undefined;
  /** Megabits per second each way, of each agent and origin. */
  readonly rateMbit?: number | undefined;
  /** Of each blob. */
  readonly bytes?: number | undefined;
  readonly scale?: number | undefined;
  readonly maxPeers?: number | undefined;
  readonly grainMs?: number | undefined;
  /** Simulated bytes. */
  readonly blockLength?: number | undefined;
  readonly seed: number;
}

type Make = (options: ScenarioOptions) => Scenario;

/** For scenarios about speed: pieces of 1.25 MiB, each of two blocks as a piece of 512 KiB has. */
const FINE = { scale: 2.5, blockLength: SHOAL_BLOCK_LENGTH };

/** For those about failures: pieces of 4 MiB. A block must cross a host's link beside 47 others before it counts as late. */
const COARSE = { scale: 16, blockLength: BLOCK / 2 };

/** All hosts ask within this time: a rollout reaches them one after the other. Seconds. */
const ROLLOUT_SECONDS = 0.1;

const BASE = {
  holders: [],
  upstream: GBIT,
  failures: [],
  per: 'image',
  blockLength: BLOCK,
  maxPeers: 24,
  rttMs: { near: 0.5, far: 2 },
  limit: 3_600,
} as const;

/** The rig's links hold up to 50 ms of what waits for them, and they are full: half of that, there and back together. */
const RIG_RTT_MS = 25;

/** The fastest link over the slowest where links are unequal. */
const SPREAD = 10;

export const SCENARIOS: Readonly<Record<string, Make>> = {
  'flash-crowd': (options) => rig('flash-crowd', options),
  cold: (options) => {
    const scenario = rig('cold', options);
    return { ...scenario, coldFrom: scenario.origins[0]!.up };
  },
  unequal: (options) => {
    const { nodes = 8, rateMbit = 100 } = options;
    const rateOf = (index: number): Rates =>
      both((rateMbit * SPREAD ** (index / Math.max(1, nodes - 1)) * MB) / 8);
    const agents = Array.from({ length: nodes }, (_, index) => rateOf(index));
    return { ...rig('unequal', options), agents, origins: [rateOf(nodes - 1)] };
  },
  'kraken-headline': (options) => headline('kraken-headline', options, { rate: 300 * MB }),
  zones,
  'many-blobs': manyBlobs,
  dying,
  'origin-lost': (options) => ({
    ...headline('origin-lost', options, { rate: 300 * MB, pieces: COARSE }),
    failures: [{ kind: 'owner-killed', at: 2.5, blob: 0 }],
  }),
  'tracker-lost': (options) => {
    // Hosts start throughout the outage: some never hear of the tracker before it is back.
    const scenario = headline('tracker-lost', options, { rate: 25 * MB, spread: 90, pieces: COARSE });
    return { ...scenario, failures: [{ kind: 'tracker-away', at: 20, seconds: 60 }] };
  },
};

/** As on the rig: one origin, all at once, the real pieces and blocks, shares worked out exactly. */
function rig(
  name: string,
  { nodes = 8, rateMbit = 100, bytes = 256 * KIB * KIB, scale = 1 }: ScenarioOptions,
): Scenario {
  const rates = both((rateMbit * MB) / 8);
  return {
    ...BASE,
    name,
    agents: times(nodes, rates),
    origins: [rates],
    blobs: [bytes],
    pulls: allPull(nodes, 1, () => 0),
    scale,
    blockLength: SHOAL_BLOCK_LENGTH,
    grainMs: 0,
    rttMs: { near: RIG_RTT_MS, far: RIG_RTT_MS },
  };
}

/** Kraken's published case: an image of 3 GB in two layers, five origins. */
function headline(
  name: string,
  options: ScenarioOptions,
  { rate, spread = ROLLOUT_SECONDS, pieces = FINE }: { rate: number; spread?: number; pieces?: typeof FINE },
): Scenario {
  const { nodes = 2_600, rateMbit, bytes = 1.5 * GB, scale = pieces.scale, seed } = options;
  const random = seededRandom(seed);
  const rates = both(rateMbit === undefined ? rate : (rateMbit * MB) / 8);
  const starts = Array.from({ length: nodes }, () => random() * spread);
  return {
    ...BASE,
    name,
    agents: times(nodes, rates),
    origins: times(5, rates),
    blobs: times(2, bytes),
    pulls: allPull(nodes, 2, (agent) => starts[agent]!),
    scale,
    blockLength: pieces.blockLength,
    grainMs: grainFor(rates, scale),
  };
}

const ZONE_SIZE = 500;

/** Zones of 500 hosts with 1 Gbit/s each, behind 10 Gbit/s each way. */
function zones({
  nodes = 10_000,
  rateMbit = 1_000,
  bytes = GB,
  scale = 16,
  seed,
}: ScenarioOptions): Scenario {
  const random = seededRandom(seed);
  const rates = both((rateMbit * MB) / 8);
  const starts = Array.from({ length: nodes }, () => random() * ROLLOUT_SECONDS);
  return {
    ...BASE,
    name: 'zones',
    agents: times(nodes, rates),
    origins: times(5, rates),
    zones: { count: Math.max(2, Math.round(nodes / ZONE_SIZE)), link: 10 * rates.up },
    blobs: [bytes],
    pulls: allPull(nodes, 1, (agent) => starts[agent]!),
    scale,
    grainMs: grainFor(rates, scale),
  };
}

/** 20,000 blobs of 0.1 to 1 GB, each held by two hosts at random, each wanted by one at random within 30 seconds. */
function manyBlobs({ nodes = 2_600, rateMbit = 2_400, scale = 32, seed }: ScenarioOptions): Scenario {
  const random = seededRandom(seed);
  const rates = both((rateMbit * MB) / 8);
  const anyone = (): number => Math.floor(random() * nodes);
  const blobs = Array.from(
    { length: Math.ceil((nodes / 2_600) * 20_000) },
    () => (0.1 + 0.9 * random()) * GB,
  );
  const hosts = blobs.map(() => ({ first: anyone(), second: anyone(), puller: anyone(), at: random() * 30 }));
  return {
    ...BASE,
    name: 'many-blobs',
    agents: times(nodes, rates),
    origins: times(5, rates),
    blobs,
    holders: hosts.flatMap(({ first, second, puller }, blob) =>
      [...new Set([first, second])].filter((agent) => agent !== puller).map((agent) => ({ agent, blob })),
    ),
    pulls: hosts.map(({ puller, at }, blob) => ({ agent: puller, blob, at })),
    per: 'blob',
    scale,
    grainMs: grainFor(rates, scale),
  };
}

/** Slow enough links that the pull takes two minutes; one host in twenty goes each minute. */
function dying(options: ScenarioOptions): Scenario {
  const scenario = headline('dying', options, { rate: 25 * MB, pieces: COARSE });
  const random = seededRandom(options.seed + 1);
  const minutes = 4;
  const failures: Failure[] = [];
  for (const agent of scenario.agents.keys()) {
    const at = -Math.log(1 - random()) / -Math.log(1 - 0.05);
    if (at < minutes) failures.push({ kind: 'agent-dies', agent, at: at * 60 });
  }
  return { ...scenario, failures };
}

/** What two pieces take on an idle link. Milliseconds. */
function grainFor({ down }: Rates, scale: number): number {
  return ((2 * 256 * KIB * scale) / down) * 1_000;
}

function both(rate: number): Rates {
  return { up: rate, down: rate };
}

function times<T>(count: number, value: T): T[] {
  return Array.from({ length: count }, () => value);
}

function allPull(agents: number, blobs: number, startOf: (agent: number) => number): Pull[] {
  const pulls: Pull[] = [];
  for (let agent = 0; agent < agents; agent++) {
    for (let blob = 0; blob < blobs; blob++) pulls.push({ agent, blob, at: startOf(agent) });
  }
  return pulls;
}

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Content } from '../../bench/rig/content.ts';
import { checkMachine, sweep } from '../../bench/rig/machine.ts';
import type { Part } from '../../bench/rig/part.ts';
import { Rig } from '../../bench/rig/rig.ts';
import { growthOf, sample, trendOf, type Sample } from './gauge.ts';

/**
 * Hours in minutes: agents pull at random from more than their stores hold, while some of them, and one of two origins,
 * are killed and start again. No pull fails, and those that live on grow neither in memory nor in descriptors.
 *
 *     npm run test:soak -- [--minutes N] [--logs DIRECTORY]
 */
const AGENTS = 5;
/** The last two of them, and the second origin, are killed now and then; the others live from beginning to end. */
const LASTING_AGENTS = 3;
const MIB = 2 ** 20;
const SIZES_MIB = [1, 2, 4, 8, 12];
const BLOBS = 60;
/** About a third of all blobs. */
const QUOTA_BYTES = 112 * MIB;
const RATE_MBIT = 200;
const PAUSE_MS = 2000;
const KILL_EVERY_MS = 20_000;
const DEAD_MS = 1000;
const SAMPLE_EVERY_MS = 5000;
/** Share of the time. */
const WARM_UP = 0.3;
/**
 * After the warm-up. V8's heap grows by tens of MiB until its first full collection, and connections come and go: over less
 * time a trend says nothing, and only failed pulls count.
 */
const LEAST_MINUTES_OF_TREND = 10;
const PULL_TIMEOUT_MS = 60_000;

interface Soaked {
  pulls: number;
  bytes: number;
  kills: number;
  readonly failures: string[];
  /** Killed, and not ready again. */
  readonly down: Set<Part>;
  readonly samples: Map<Part, Sample[]>;
}

async function fill(content: Content): Promise<void> {
  for (let at = 0; at < BLOBS; at += 1)
    await content.addBlob(`soak ${at}`, SIZES_MIB[at % SIZES_MIB.length]! * MIB + at);
}

async function build(signal: AbortSignal): Promise<Rig> {
  const rig = await Rig.build(
    {
      agents: AGENTS,
      origins: 2,
      zones: 1,
      trunkMbit: undefined,
      queueMs: 50,
      burstBytes: 128 * 1024,
      fill,
      contentBytes: QUOTA_BYTES,
      quotaBytes: QUOTA_BYTES,
      pullTimeoutMs: PULL_TIMEOUT_MS,
      profiles: undefined,
      nodeFlags: [],
    },
    signal,
  );
  await rig.shape(() => ({ upMbit: RATE_MBIT, downMbit: RATE_MBIT }));
  return rig;
}

/** One agent's runtime: one blob after the other, until the signal. */
async function pullOn(rig: Rig, agent: Part, soaked: Soaked, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const blob = rig.content.blobs[Math.floor(Math.random() * BLOBS)]!;
    const own = agent.process;
    const { right, wrongBytes, bytes, failure } = await rig.attempt(agent, blob);
    const killed = agent.process !== own || soaked.down.has(agent);
    soaked.pulls += 1;
    soaked.bytes += bytes;
    if (wrongBytes > 0 || (!right && !killed))
      soaked.failures.push(
        `${agent.name}: ${failure ?? 'wrong digest'} after ${bytes} bytes of ${blob.size}`,
      );
    while (soaked.down.has(agent)) await sleep(DEAD_MS);
    await sleep(Math.random() * PAUSE_MS);
  }
}

async function killOn(rig: Rig, victims: readonly Part[], soaked: Soaked, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await pause(KILL_EVERY_MS, over);
    if (over.aborted) return;
    const victim = victims[Math.floor(Math.random() * victims.length)]!;
    soaked.down.add(victim);
    await victim.kill();
    soaked.kills += 1;
    await sleep(DEAD_MS);
    await victim.restart(rig.signal);
    soaked.down.delete(victim);
  }
}

async function sampleOn(soaked: Soaked, started: number, over: AbortSignal): Promise<void> {
  for (; !over.aborted; await pause(SAMPLE_EVERY_MS, over))
    for (const [part, samples] of soaked.samples)
      samples.push(await sample(part, (performance.now() - started) / 60_000));
}

function pause(ms: number, over: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal: over }).catch(() => {});
}

async function main(minutes: number, logs: string | undefined, signal: AbortSignal): Promise<string[]> {
  await checkMachine();
  await sweep();
  await using rig = await build(signal);
  await using after = new AsyncDisposableStack();
  if (logs !== undefined) after.defer(() => rig.keepLogs(logs));
  const lasting = [rig.tracker, rig.origins[0]!, ...rig.agents.slice(0, LASTING_AGENTS)];
  const victims = [rig.origins[1]!, ...rig.agents.slice(LASTING_AGENTS)];
  const soaked: Soaked = {
    pulls: 0,
    bytes: 0,
    kills: 0,
    failures: [],
    down: new Set(),
    samples: new Map(lasting.map((part) => [part, []])),
  };
  const over = AbortSignal.any([signal, AbortSignal.timeout(minutes * 60_000)]);
  const started = performance.now();
  await Promise.all([
    ...rig.agents.map((agent) => pullOn(rig, agent, soaked, over)),
    killOn(rig, victims, soaked, over),
    sampleOn(soaked, started, over),
  ]);
  signal.throwIfAborted();
  const trends = [...soaked.samples].map(([{ name }, samples]) => trendOf(name, samples, WARM_UP));
  const { pulls, bytes, kills, failures } = soaked;
  console.log(
    `${minutes} minutes: ${pulls} pulls, ${(bytes / 2 ** 30).toFixed(1)} GiB, ${kills} kills, ${failures.length} failed`,
  );
  console.table(
    trends.map(({ part, rssMib, rssMibPerMinute, moreDescriptors }) => ({
      part,
      'RSS of each tenth, MiB': rssMib.map((mib) => mib.toFixed(0)).join(' '),
      'MiB a minute': rssMibPerMinute.toFixed(2),
      'more descriptors': moreDescriptors,
    })),
  );
  if (minutes * (1 - WARM_UP) >= LEAST_MINUTES_OF_TREND) return [...failures, ...trends.flatMap(growthOf)];
  console.log('too short to tell how memory and descriptors grow: only failed pulls count');
  return failures;
}

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, logs: { type: 'string' } },
});
const minutes = Number(values.minutes);
if (!(minutes >= 1 && minutes <= 10_000))
  throw new RangeError(`--minutes is "${values.minutes}"; allowed is a number from 1 to 10000`);
const found = await main(minutes, values.logs, stop.signal);
for (const complaint of found) console.error(complaint);
process.exitCode = found.length > 0 ? 1 : 0;

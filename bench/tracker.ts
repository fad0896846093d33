import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CLUSTER_KEY_FILE, writeKeys } from '#cli/keys.ts';
import { loadSecurity } from '#service/identity.ts';
import { freePort } from '../demo/free-port.ts';
import { ENVIRONMENT } from '../deploy/image/environment.ts';
import { percentile } from './result.ts';
import { layPrograms } from './rig/programs.ts';
import { readUsage } from './rig/usage.ts';
import { Announcers, type Announced } from './tracker-load.ts';

/**
 * What one tracker costs that knows a large cluster: 2,600 agents in 50 swarms each, over the TLS connections that they
 * would keep, each announcing every 30 s.
 *
 *     node [flags of the tracker's too] bench/tracker.ts [agents] [swarms of each] [seconds between two announces]
 */
const PROBE = fileURLToPath(new URL('tracker-probe.ts', import.meta.url));
const READY_POLL_MS = 100;
const INTERVALS = 2;
const [agents = 2600, swarmsEach = 50, intervalSeconds = 30] = process.argv.slice(2).map(Number);

interface Tracker extends AsyncDisposable {
  readonly pid: number;
  readonly address: string;
}

async function startTracker(directory: string): Promise<Tracker> {
  const [port, statusPort] = [await freePort(), await freePort()];
  const config = {
    security: 'cluster-key',
    clusterKeyFile: join(directory, CLUSTER_KEY_FILE),
    listen: `127.0.0.1:${port}`,
    status: { listen: `127.0.0.1:${statusPort}` },
  };
  const file = join(directory, 'tracker.yaml');
  await writeFile(file, JSON.stringify(config)); // JSON is YAML 1.2
  const shoal = await layPrograms(join(directory, 'programs'));
  const child = spawn(process.execPath, [...process.execArgv, shoal, 'tracker', '--config', file], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...ENVIRONMENT },
  });
  const ready = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${statusPort}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await ready())) {
    if (child.exitCode !== null) throw new Error(`the tracker ended with code ${child.exitCode}`);
    await sleep(READY_POLL_MS);
  }
  return {
    pid: child.pid!,
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Asks all the while, from a process of its own; how long each answer took, in milliseconds. */
async function probe<T>(swarms: readonly string[], work: () => Promise<T>): Promise<[T, number[]]> {
  const keyFile = join(directory, CLUSTER_KEY_FILE);
  const child = fork(PROBE, [tracker.address, keyFile, ...swarms]);
  const latencies: number[] = [];
  child.on('message', (ms: number) => latencies.push(ms));
  const result = await work();
  child.disconnect();
  await once(child, 'exit');
  return [result, latencies];
}

function row(
  phase: string,
  used: { cpuSeconds: number; rssMib: number },
  { seconds, announces, peersHanded }: Announced,
  latencies: readonly number[],
): string {
  const cells = [
    phase,
    (announces / seconds).toFixed(0),
    (peersHanded / announces).toFixed(1),
    `${((100 * used.cpuSeconds) / seconds).toFixed(1)} %`,
    used.rssMib.toFixed(0),
    percentile(latencies, 0.5).toFixed(1),
    percentile(latencies, 0.99).toFixed(1),
    Math.max(...latencies).toFixed(1),
  ];
  return `| ${cells.join(' | ')} |`;
}

await using stack = new AsyncDisposableStack();
const directory = await mkdtemp(join(tmpdir(), 'shoal-tracker-'));
stack.defer(() => rm(directory, { recursive: true, force: true }));
await writeKeys(directory);
const tracker = stack.use(await startTracker(directory));
const security = loadSecurity({
  security: 'cluster-key',
  clusterKeyFile: join(directory, CLUSTER_KEY_FILE),
});
const load = { agents, swarmsEach, intervalMs: intervalSeconds * 1000, tracker: tracker.address, security };
const announcers = stack.use(new Announcers(load));
const { signal } = new AbortController();
const phases: [string, () => Promise<Announced>][] = [
  ['all tell all they have, within one interval', () => announcers.start(signal)],
  ['each leaves a swarm and joins another for 30 peers', () => announcers.run(INTERVALS, signal)],
];
console.log(
  `${agents} agents × ${swarmsEach} swarms, every ${intervalSeconds} s, by TLS with the cluster key\n`,
);
console.log(
  '| phase | announces/s | peers handed out each | of a core | peak RSS, MiB | p50, ms | p99, ms | longest, ms |',
);
console.log('|---|---|---|---|---|---|---|---|');
for (const [name, run] of phases) {
  const before = await readUsage(tracker.pid);
  const [announced, latencies] = await probe(announcers.common, run);
  const after = await readUsage(tracker.pid);
  const used = { cpuSeconds: after.cpuSeconds - before.cpuSeconds, rssMib: after.peakRssMiB };
  console.log(row(name, used, announced, latencies));
}

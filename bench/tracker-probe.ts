import { setTimeout as sleep } from 'node:timers/promises';
import { loadSecurity } from '#service/identity.ts';
import { SimulatedAgent } from './tracker-load.ts';

/**
 * One more agent of `tracker.ts`, in a process of its own so that only the tracker can be late: asks for peers twenty times
 * a second until its channel closes, and tells how long each answer took.
 *
 *     node tracker-probe.ts <tracker> <cluster key file> <swarm>…
 */
const PAUSE_MS = 50;
const [tracker = '', clusterKeyFile = '', ...swarms] = process.argv.slice(2);
const security = loadSecurity({ security: 'cluster-key', clusterKeyFile });
const stop = new AbortController();
process.on('disconnect', () => stop.abort());

await using agent = new SimulatedAgent({ tracker, security }, 0, swarms);
await agent.start(stop.signal);
while (!stop.signal.aborted) {
  const { ms } = await agent.change(stop.signal);
  // Nobody may listen any more.
  process.send?.(ms, undefined, undefined, () => {});
  await sleep(PAUSE_MS);
}

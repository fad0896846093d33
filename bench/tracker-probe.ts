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
process.on('disconnect', () => process.exit());

const { signal } = new AbortController();
const agent = new SimulatedAgent({ tracker, security }, 0, swarms);
await agent.start(signal);
for (;;) {
  const { ms } = await agent.change(signal);
  process.send?.(ms);
  await sleep(PAUSE_MS);
}

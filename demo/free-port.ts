import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Below Kubernetes' NodePort range (30000–32767) and below Linux' ephemeral range (from 32768), so that no outgoing
 * connection takes the port between this call and the listener's start; and below Shoal's own defaults (29500…).
 */
const FIRST_PORT = 10_000;
const LAST_PORT = 29_400;
const ATTEMPTS = 200;

const handedOut = new Set<number>();

/** A TCP port on which nothing listens on 127.0.0.1 now; never the same twice in one process. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = randomInt(FIRST_PORT, LAST_PORT + 1);
    if (!handedOut.has(port) && (await isFree(port))) {
      handedOut.add(port);
      return port;
    }
  }
  throw new Error(`no free port found between ${FIRST_PORT} and ${LAST_PORT} in ${ATTEMPTS} attempts`);
}

/** Several at once, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    // Every address, not just loopback: a listener on 0.0.0.0 would share the port with one on 127.0.0.1.
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

import { createServer, request } from 'node:http';
import { pipeline } from 'node:stream';

/** A door with no agent behind it: relays to a registry as the real one relays what it does not hold, and notes what was asked. */
export interface DoorStandIn extends AsyncDisposable {
  readonly url: URL;
  /** Path and query of each request. */
  readonly asked: string[];
  /** What each blob that it relays adds to what it says of its digest; undefined: it has no such route. */
  sources: Readonly<Record<string, number>> | undefined;
  /** What it says of each digest before. */
  earlier: Readonly<Record<string, number>>;
  /** What it answers to everything but that, with status 503, in the place of the registry. */
  unavailable: string | undefined;
}

export async function startDoor(registryUrl: string): Promise<DoorStandIn> {
  const relayedBlobs = new Map<string, number>();
  const server = createServer((incoming, outgoing) => {
    const target = incoming.url ?? '/';
    door.asked.push(target);
    if (target.startsWith('/shoal/')) {
      outgoing.statusCode = door.sources === undefined ? 404 : 200;
      const pulls = relayedBlobs.get(/sha\d+:\w+/u.exec(target)?.[0] ?? '') ?? 0;
      const told = Object.entries(door.sources ?? {}).map(([name, bytes]) => [
        name,
        (door.earlier[name] ?? 0) + pulls * bytes,
      ]);
      outgoing.end(JSON.stringify(Object.fromEntries(told)));
      return;
    }
    if (door.unavailable !== undefined) {
      const errors = [{ code: 'UNAVAILABLE', message: door.unavailable }];
      outgoing.writeHead(503).end(JSON.stringify({ errors }));
      return;
    }
    const digest = /\/blobs\/(?<digest>sha\d+:\w+)/u.exec(target)?.groups?.['digest'];
    if (digest !== undefined) relayedBlobs.set(digest, (relayedBlobs.get(digest) ?? 0) + 1);
    const { method, headers } = incoming;
    const relayed = request(new URL(target, registryUrl), { method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      pipeline(answer, outgoing, () => {}); // a cut on one side is a cut on the other
    });
    relayed.on('error', () => outgoing.destroy());
    relayed.end();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('not listening on TCP');
  const door: DoorStandIn = {
    url: new URL(`http://127.0.0.1:${bound.port}`),
    asked: [],
    sources: undefined,
    earlier: {},
    unavailable: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
  return door;
}

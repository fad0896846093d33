import type { Credential } from '#registry/credentials.ts';
import type { Digest } from '#registry/digest.ts';
import type { UpstreamHosts } from '#registry/hosts.ts';
import { Mirror } from '#registry/mirror.ts';
import type { ProxySettings } from '#registry/proxy.ts';
import { type BoundServer, createHttpServer, listen } from '#service/http-server.ts';
import type { Security } from '#service/identity.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import { MAX_WARM_REQUEST_BYTES, WARM_PATH, WarmRequest } from '#service/warm-messages.ts';
import { warmImage } from './warm-image.ts';
import { WarmJobs } from './warm-jobs.ts';

export interface MemberListenerParts {
  readonly security: Security;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** `host:port` of this agent's door. */
  readonly door: string;
  /** How token realms are reached. */
  readonly hosts: UpstreamHosts;
  readonly proxy: ProxySettings;
  readonly holds: (digest: Digest) => boolean;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/**
 * What members of the cluster may ask of an agent by HTTP, and nobody else: to hold an image. An image comes through
 * the agent's own door, as for its runtime, so that every right and every bound counts for it too.
 */
export async function listenForMembers(address: string, parts: MemberListenerParts): Promise<BoundServer> {
  const { security, logger, metrics, holds, now, random } = parts;
  await using starting = new AsyncDisposableStack();
  const jobs = starting.use(
    new WarmJobs({
      holds,
      now,
      random,
      fetch: async (reference, credential, onFound, signal) => {
        await using mirror = openMirror(reference, credential, parts);
        await warmImage(mirror, reference, { holds, onFound }, signal);
      },
    }),
  );
  const app = createHttpServer({
    name: 'members',
    security,
    bodyLimit: MAX_WARM_REQUEST_BYTES,
    logger,
    metrics,
  });
  app.post<{ Body: WarmRequest }>(WARM_PATH, { schema: { body: WarmRequest } }, ({ body }) => jobs.ask(body));
  const bound = starting.use(await listen(app, address));
  const running = starting.move();
  return { ...bound, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

function openMirror(
  reference: { registry: string; repository: string },
  credential: Credential | undefined,
  { door, hosts, proxy }: MemberListenerParts,
): Mirror {
  return new Mirror(reference, {
    agent: new URL(`http://${door}/`),
    hosts,
    proxy,
    ...(credential && { credentials: { lookup: () => credential } }),
  });
}

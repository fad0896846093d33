import type { ChallengeAnswerer } from '#registry/challenge-answerer.ts';
import type { Hosts } from '#registry/hosts.ts';
import { UpstreamPolicy } from '#registry/upstream-policy.ts';
import type { AgentConfig } from '#service/config/agent.ts';
import { type BoundServer, createHttpServer, listen } from '#service/http-server.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import { DOOR_GRACE_MS } from '#agent/defaults.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { Admission } from './admission.ts';
import { answerOciError } from './answer.ts';
import { DoorTokens } from './door-tokens.ts';
import { type Accesses, OnBehalf } from './on-behalf.ts';
import { OwnDoor } from './own-door.ts';
import { addDoorRoutes } from './routes.ts';
import { RecentSources } from './sources.ts';

export interface OpenDoorParts extends Accesses {
  readonly hosts: Hosts;
  /** Answers registries in the name of clients that authenticated to the door itself. */
  readonly answerer: ChallengeAnswerer;
  readonly admission: Admission;
  readonly events: AgentEvents;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Opens the registry mirror that the node's container runtime asks. @throws Error when the address cannot be had */
export async function openDoor(config: AgentConfig, parts: OpenDoorParts): Promise<BoundServer> {
  const { hosts, answerer, admission, events, logger, metrics } = parts;
  const { logins } = config.door;
  await using opening = new AsyncDisposableStack();
  let bound: BoundServer | undefined;
  const door = (): string => bound?.address ?? config.door.listen;
  const tokens = opening.use(new DoorTokens());
  const app = createHttpServer({
    name: 'door',
    bodyLimit: 1024,
    closeGraceMs: DOOR_GRACE_MS,
    logger,
    metrics,
    errors: answerOciError,
  });
  addDoorRoutes(app, {
    ...new OnBehalf({ tokens, answerer, events, door }).wrap(parts),
    admission,
    tokens,
    logins: logins.length === 0 ? undefined : new UpstreamPolicy({ allow: logins, deny: [] }),
    door,
    policy: new UpstreamPolicy(config.upstreams),
    ownDoor: new OwnDoor({
      door: () => bound,
      endpoint: (registry) => hosts.endpoint(registry),
      now: Date.now,
    }),
    recent: new RecentSources(),
    events,
    now: monotonic,
  });
  bound = opening.use(await listen(app, config.door.listen));
  const { host, port, address } = bound;
  const all = opening.move();
  return { host, port, address, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Milliseconds. */
function monotonic(): number {
  return performance.now();
}

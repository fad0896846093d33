import { randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { AgentConfig } from '#service/config/agent.ts';
import { claimDataDirectory } from '#service/data-directory.ts';
import { findMembers } from '#service/discovery/find-members.ts';
import { clusterScheme } from '#service/http-client.ts';
import type { BoundServer } from '#service/http-server.ts';
import { loadSecurity, type Security } from '#service/identity.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import { parsePublicKeys } from '#service/signing.ts';
import { RequestRate } from '#service/request-rate.ts';
import { startAdminSocket } from '#service/admin-socket.ts';
import { startStatusServer } from '#service/status-server.ts';
import type { ChallengeAnswerer } from '#registry/challenge-answerer.ts';
import { Hosts } from '#registry/hosts.ts';
import { proxySettings } from '#registry/proxy.ts';
import { SELF_TEST } from '#registry/self-test.ts';
import { Upstream } from '#registry/upstream.ts';
import { addAdminRoutes } from '#swarm/member/admin-routes.ts';
import { openMember } from '#swarm/member/open.ts';
import { risenLately, type TroubleSource } from '#swarm/member/troubles.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { RATED_CALLERS } from './defaults.ts';
import { Admission } from './door/admission.ts';
import { openDoor } from './door/door.ts';
import { AgentEvents } from './events.ts';
import { ClusterKeyCheck } from './cluster-key-check.ts';
import { createAgentMetrics, observeDoor } from './metrics.ts';
import { createPulls } from './pulls.ts';
import { SelfTest } from './self-test.ts';
import { UpstreamClient } from './upstream-client.ts';
import { listenForMembers } from './warm/member-listener.ts';

export interface AgentParts {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Where proxies are named; the process' own by default. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** An agent that serves. Disposing it stops it: pulls under way get a grace, what is half done is kept. */
export interface RunningAgent extends AsyncDisposable {
  /** `host:port` of the door. */
  readonly address: string;
  /** `host:port` of `/metrics`, `/healthz` and `/readyz`. */
  readonly statusAddress: string;
  readonly peerPort: number;
  /** `host:port` of the listener for members, where there is one. */
  readonly membersAddress: string | undefined;
}

/** Longest time to connect to a registry: the runtime waits. */
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Starts a node's daemon: the store, its place in the swarm, and the door that the node's container runtime asks.
 * @throws what a part that cannot start throws, saying which
 */
export async function startAgent(config: AgentConfig, parts: AgentParts): Promise<RunningAgent> {
  parts.signal.throwIfAborted();
  await using starting = new AsyncDisposableStack();
  const life = new AbortController();
  const security = loadSecurity(config, parts);
  starting.use(await claimDataDirectory(config.store.path));
  const metrics = createAgentMetrics(parts.metrics);
  const events = new AgentEvents(parts.logger, metrics, () => performance.now());
  const { upstream, answerer, hosts } = openUpstream(config, parts, metrics, starting);
  const { trackers, origins, dispatcher } = await findMembers(config, { ...parts, security }, starting);
  const { store, swarm } = await openMember(
    config,
    {
      ...parts,
      role: 'agent',
      security,
      dispatcher,
      trackers,
      trusted: parsePublicKeys(config.trustedOriginKeys),
      troubles: troublesOf(config, events),
    },
    starting,
  );
  const scheme = clusterScheme(security);
  const pulls = createPulls(
    {
      store,
      swarm,
      upstream,
      events,
      dispatcher,
      signal: life.signal,
      now: Date.now,
      random: Math.random,
      randomInt,
    },
    { ...config, origins, scheme },
  );
  starting.use(pulls);
  starting.defer(() => life.abort());
  const rate = new RequestRate({
    perSecond: config.door.requestsPerSecond,
    callers: RATED_CALLERS,
    now: () => performance.now(),
  });
  const admission = new Admission({ rate, onShed: () => events.shed() });
  const running = (): { requests: number; pulls: number } => ({
    requests: admission.running,
    pulls: pulls.running.size,
  });
  observeDoor(parts.metrics, running);
  const key = new ClusterKeyCheck(
    { dispatcher, now: () => performance.now(), signal: life.signal },
    { places: () => ({ trackers: trackers.current, origins: origins.current }), scheme },
  );
  let serving = false;
  let selfTest: SelfTest | undefined;
  const unready = (): readonly string[] => {
    if (!serving) return ['the door is not open yet'];
    return selfTest?.isOver === false ? ['the self-test runs', ...key.faults] : key.faults;
  };
  const status = starting.use(await listenForStatus(config, security, parts, unready));
  starting.use(
    await startAdminSocket({
      directory: config.store.path,
      routes: (app) =>
        addAdminRoutes(app, {
          store,
          status: () => ({
            swarm: swarm.engine.status,
            trackers: { members: trackers.current, reachable: swarm.announcer.reachable },
            origins: { members: origins.current, reachable: pulls.origins.isReachable },
            ...running(),
          }),
          limits: config.bandwidth,
          setLimits: (limits) => swarm.engine.setLimits(limits),
        }),
      ...parts,
    }),
  );
  const door = starting.use(
    await openDoor(config, { ...parts, ...pulls, upstream, answerer, hosts, admission, events }),
  );
  const members =
    config.members.listen === undefined
      ? undefined
      : await openToMembers(config.members.listen, config, { ...parts, security, store, door });
  if (members) starting.use(members);
  if (config.selfTest && config.origins.length > 0) {
    pulls.verdicts.allow(SELF_TEST);
    selfTest = starting.use(
      new SelfTest({ door: door.address, origins: pulls.origins, logger: parts.logger, random: Math.random }),
    );
  }
  serving = true;
  parts.logger.info({ door: door.address, peers: swarm.port, security: security.mode }, 'agent serves');
  const all = starting.move();
  return {
    address: door.address,
    statusAddress: status.address,
    peerPort: swarm.port,
    membersAddress: members?.address,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Beside what the store has. */
function troublesOf({ mirror }: AgentConfig, events: AgentEvents): TroubleSource[] {
  const { reportFile } = mirror;
  const isDenied = risenLately(
    () => events.denials,
    () => performance.now(),
  );
  return [
    ['upstream-denies', isDenied],
    ['mirror-missing', () => reportFile !== undefined && existsSync(reportFile)],
  ];
}

/** Beside what the runtime asks for, the node holds what members of the cluster ask for. */
function openToMembers(
  address: string,
  { upstreams }: AgentConfig,
  { env = process.env, ...parts }: AgentParts & { security: Security; store: BlobStore; door: BoundServer },
): Promise<BoundServer> {
  return listenForMembers(address, {
    ...parts,
    door: parts.door.address,
    hosts: upstreams.hosts,
    proxy: proxySettings(env),
    holds: (digest) => parts.store.stat(digest) !== undefined,
    now: () => performance.now(),
    random: Math.random,
  });
}

function openUpstream(
  { upstreams }: AgentConfig,
  { env = process.env }: AgentParts,
  metrics: ReturnType<typeof createAgentMetrics>,
  starting: AsyncDisposableStack,
): { upstream: UpstreamClient; answerer: ChallengeAnswerer; hosts: Hosts } {
  const proxy = proxySettings(env);
  const hosts = starting.use(new Hosts(upstreams.hosts, { proxy, connectTimeoutMs: CONNECT_TIMEOUT_MS }));
  const registries = starting.use(
    new Upstream(
      { hosts },
      {
        onExchange: ({ purpose, status }) =>
          metrics.upstreamRequests.inc({ purpose, status: String(status ?? 'none') }),
      },
    ),
  );
  return { upstream: new UpstreamClient(registries), answerer: registries.answerer, hosts };
}

function listenForStatus(
  config: AgentConfig,
  security: Security,
  { signal, metrics, logger }: AgentParts,
  unready: () => readonly string[],
): Promise<BoundServer> {
  return startStatusServer({
    ...config.status,
    security,
    metrics,
    logger,
    readiness: () => {
      const reasons = signal.aborted ? ['stopping'] : unready();
      return { ready: reasons.length === 0, reasons };
    },
  });
}

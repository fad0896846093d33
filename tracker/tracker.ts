import { setTimeout as sleep } from 'node:timers/promises';

import type { Controllers } from '#kubernetes/controllers.ts';
import type { TrackerConfig } from '#service/config/tracker.ts';
import { parseHostPort } from '#service/host-port.ts';
import type { ErrorAnswer } from '#service/http-error.ts';
import { clusterDispatcher, clusterScheme } from '#service/http-client.ts';
import { createHttpServer, listen } from '#service/http-server.ts';
import type { BoundServer } from '#service/http-server.ts';
import { loadSecurity } from '#service/identity.ts';
import type { Security } from '#service/identity.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import { startStatusServer } from '#service/status-server.ts';
import { MAX_REQUEST_BYTES, MAX_WANT } from '#swarm/announce/messages.ts';

import {
  ANNOUNCES_PER_SECOND,
  DEFAULT_LIMITS,
  KEEP_ALIVE_MS,
  NODES_PATIENCE_MS,
  STRANGER_BODY_BYTES,
  STRANGER_CONNECTIONS,
  STRANGER_WANT,
  SWEEP_BUDGET,
  SWEEP_INTERVAL_MS,
} from './constants.ts';
import type { TrackerLimits } from './constants.ts';
import { encodeFailure } from './bencode-answers.ts';
import { LeaseBook } from './lease-book.ts';
import { MemberStore } from './member-store.ts';
import { trackerMetrics } from './metrics.ts';
import type { TrackerMetrics } from './metrics.ts';
import { RequestRate } from '#service/request-rate.ts';
import { registerShoalRoutes } from './shoal-routes.ts';
import type { ShoalRoutesParts } from './shoal-routes.ts';
import { registerStrangerRoutes } from './stranger-routes.ts';
import { StrangerStore } from './stranger-store.ts';
import { SwarmTable } from './swarm-table.ts';
import type { Alias } from './swarm-table.ts';
import { UdpTracker } from './udp-server.ts';
import { eventOfTrouble } from './trouble-events.ts';

export interface TrackerParts {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly now?: () => number;
  readonly random?: () => number;
  readonly limits?: Partial<TrackerLimits>;
}

/** A tracker that listens. Disposing it stops all of its listeners. */
export interface RunningTracker extends AsyncDisposable {
  /** `host:port` of the listener for agents and origins. */
  readonly address: string;
  /** `host:port` of `/metrics`, `/healthz` and `/readyz`. */
  readonly statusAddress: string;
  /** `host:port` of the strangers' HTTP listener, where they are admitted. */
  readonly strangersAddress: string | undefined;
  /** Port of the strangers' UDP listener, where they are admitted and security is off. */
  readonly udpPort: number | undefined;
}

interface State {
  readonly table: SwarmTable;
  readonly members: MemberStore;
  readonly strangers: StrangerStore;
  readonly leases: LeaseBook;
  readonly metrics: TrackerMetrics;
  readonly rate: RequestRate;
}

/**
 * Starts a tracker: its state, empty, its listeners and the sweep of what has timed out.
 * @throws IdentityError for an unusable cluster key; Error that names a listener which cannot be had.
 */
export async function startTracker(config: TrackerConfig, parts: TrackerParts): Promise<RunningTracker> {
  parts.signal.throwIfAborted();
  const security = loadSecurity(config, parts);
  const now = parts.now ?? (() => performance.now());
  const state = createState(config, { now, random: parts.random ?? Math.random, ...parts });
  await using starting = new AsyncDisposableStack();
  starting.use(sweepRegularly(state));
  const cluster = config.kubernetes.enabled
    ? await joinKubernetes(config, security, parts, starting)
    : undefined;
  const located: MemberListenerState = {
    ...state,
    ...(cluster && {
      topologyOf: (node) => cluster.topologyOf(node),
      nodeAt: (address) => cluster.nodeAt(address),
      onTrouble: (node, trouble) => reportTrouble(cluster, node, trouble),
    }),
  };
  const shoal = starting.use(await listenForMembers(config, security, located, parts));
  const strangers = config.strangers.listen;
  const stranger =
    strangers === undefined ? undefined : await listenForStrangers(strangers, config, state, parts);
  if (stranger !== undefined) starting.use(stranger);
  const udp =
    stranger !== undefined && security.mode === 'off'
      ? starting.use(
          await listenByUdp(strangers!, stranger.port, config, state, { now, logger: parts.logger }),
        )
      : undefined;
  const status = starting.use(await listenForStatus(config, security, parts));
  parts.logger.info(
    { address: shoal.address, strangers: stranger?.address, security: security.mode },
    'tracker listens',
  );
  const running = starting.move();
  return {
    address: shoal.address,
    statusAddress: status.address,
    strangersAddress: stranger?.address,
    udpPort: udp?.port,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function createState(
  config: TrackerConfig,
  parts: { now: () => number; random: () => number; metrics: Metrics; limits?: Partial<TrackerLimits> },
): State {
  const { now, random } = parts;
  const limits = { ...DEFAULT_LIMITS, ...parts.limits };
  const timeoutMs = config.memberTimeoutMs;
  const table = new SwarmTable({ onAliasGone: (alias: Alias) => strangers.forget(alias) });
  const members = new MemberStore(
    { table, now, random },
    { limits, timeoutMs, maxCrossZone: config.maxCrossZonePeers },
  );
  const strangers = new StrangerStore(
    { table, members, now, random },
    {
      maxStrangers: limits.maxStrangers,
      timeoutMs,
      customaryWant: Math.min(STRANGER_WANT, config.maxPeersPerAnswer),
      maxWant: Math.min(MAX_WANT, config.maxPeersPerAnswer),
    },
  );
  const leases = new LeaseBook({ now }, { ...config.leases, maxLeases: limits.maxLeases });
  const metrics = trackerMetrics(parts.metrics, { table, members, strangers, leases });
  const rate = new RequestRate({ perSecond: ANNOUNCES_PER_SECOND, callers: limits.maxMembers, now });
  return { table, members, strangers, leases, metrics, rate };
}

function reportTrouble(cluster: Controllers, node: string, trouble: string): void {
  const event = eventOfTrouble(trouble);
  if (event !== undefined) cluster.reportNode(node, event.reason, event.message);
}

type MemberListenerState = State & Pick<ShoalRoutesParts, 'topologyOf' | 'nodeAt' | 'onTrouble'>;

const NO_NODES = { selected: 0, warm: 0, failed: 0 };

/** What this tracker does for the cluster that it runs in; loaded only here, for its client takes memory. */
async function joinKubernetes(
  { kubernetes }: TrackerConfig,
  security: Security,
  { logger, metrics }: TrackerParts,
  starting: AsyncDisposableStack,
): Promise<Controllers> {
  const { connectKubernetes } = await import('#kubernetes/api.ts');
  const { startControllers } = await import('#kubernetes/controllers.ts');
  const api = starting.use(await connectKubernetes());
  const dispatcher = clusterDispatcher(security, { connections: 1 });
  starting.defer(() => dispatcher.destroy());
  const leading = metrics.gauge('leads', 'Whether this tracker runs the controllers');
  const controllers = startControllers(
    {
      api,
      dispatcher,
      scheme: clusterScheme(security),
      logger,
      onLeading: (leads) => {
        leading.set(leads ? 1 : 0);
        logger.info({ leads }, leads ? 'this tracker leads' : 'this tracker does not lead any more');
      },
      now: () => performance.now(),
      wallClock: Date.now,
      random: Math.random,
    },
    kubernetes,
  );
  starting.use(controllers);
  metrics.gauge('preheats', 'ImagePreheats that run', [], (gauge) =>
    gauge.set(controllers.preheats?.preheats ?? 0),
  );
  metrics.gauge('preheat_nodes', 'Nodes of the ImagePreheats that run', ['state'], (gauge) => {
    for (const [state, count] of Object.entries(controllers.preheats?.nodes ?? NO_NODES))
      gauge.set({ state }, count);
  });
  // Members tell their node once, when their session begins; without an API server it begins all the same.
  await Promise.race([controllers.located, sleep(NODES_PATIENCE_MS, undefined, { ref: false })]);
  return controllers;
}

/** Forgets in small steps, so that the loss of a whole rack does not hold up the others' announces. */
function sweepRegularly({ members, strangers, leases, metrics }: State): Disposable {
  const timer = setInterval(() => {
    const gone = members.sweep(SWEEP_BUDGET);
    for (const peerId of gone) leases.releaseAll(peerId);
    metrics.expired.inc({ kind: 'member' }, gone.length);
    metrics.expired.inc({ kind: 'stranger' }, strangers.sweep(SWEEP_BUDGET));
    metrics.expired.inc({ kind: 'lease' }, leases.sweep(SWEEP_BUDGET));
  }, SWEEP_INTERVAL_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function listenForMembers(
  config: TrackerConfig,
  security: Security,
  state: MemberListenerState,
  { logger, metrics }: TrackerParts,
): Promise<BoundServer> {
  const app = createHttpServer({
    name: 'tracker',
    security,
    bodyLimit: MAX_REQUEST_BYTES,
    keepAliveMs: KEEP_ALIVE_MS,
    logger,
    metrics,
  });
  const { announceIntervalMs, maxPeersPerAnswer } = config;
  const strangers = config.strangers.listen !== undefined;
  registerShoalRoutes(app, state, { announceIntervalMs, maxPeersPerAnswer, strangers });
  return listen(app, config.listen);
}

function listenForStrangers(
  address: string,
  { announceIntervalMs }: TrackerConfig,
  state: State,
  { logger, metrics }: TrackerParts,
): Promise<BoundServer> {
  const app = createHttpServer({
    name: 'strangers',
    bodyLimit: STRANGER_BODY_BYTES,
    maxConnections: STRANGER_CONNECTIONS,
    logger,
    metrics,
    errors: refuseMalformed,
  });
  registerStrangerRoutes(app, state, { announceIntervalMs });
  return listen(app, address);
}

/** What fastify refuses before a route is reached, in the only form that clients of BEP 3 show. */
function refuseMalformed(error: unknown): ErrorAnswer | undefined {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (!(status >= 400 && status < 500)) return undefined;
  return { status: 200, headers: { 'content-type': 'text/plain' }, body: encodeFailure('malformed request') };
}

/** On the same address and port as HTTP, as clients expect of `udp://` beside `http://`. */
function listenByUdp(
  address: string,
  port: number,
  { announceIntervalMs }: TrackerConfig,
  state: State,
  parts: { now: () => number; logger: Logger },
): Promise<UdpTracker> {
  const { host } = parseHostPort(address)!;
  return UdpTracker.listen({ ...state, ...parts }, { host, port, announceIntervalMs });
}

function listenForStatus(
  { status }: TrackerConfig,
  security: Security,
  { signal, logger, metrics }: TrackerParts,
): Promise<BoundServer> {
  const readiness = () =>
    signal.aborted ? { ready: false, reasons: ['stopping'] } : { ready: true, reasons: [] };
  return startStatusServer({ ...status, security, metrics, readiness, logger });
}

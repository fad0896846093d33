import type { FastifyInstance } from 'fastify';
import type { OriginConfig } from '#service/config/origin.ts';
import { startAdminSocket } from '#service/admin-socket.ts';
import { claimDataDirectory } from '#service/data-directory.ts';
import { expectHostPort, type HostPort } from '#service/host-port.ts';
import { findMembers } from '#service/discovery/find-members.ts';
import { type BoundServer, createHttpServer, type HttpServerOptions, listen } from '#service/http-server.ts';
import { loadSecurity, type Security } from '#service/identity.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import {
  expectOwnSigningKey,
  loadSigningKey,
  parsePublicKeys,
  type PublicKey,
  type SigningKey,
} from '#service/signing.ts';
import { startStatusServer } from '#service/status-server.ts';
import type { Digest } from '#registry/digest.ts';
import { Hosts } from '#registry/hosts.ts';
import { proxySettings } from '#registry/proxy.ts';
import { Upstream } from '#registry/upstream.ts';
import { UpstreamPolicy } from '#registry/upstream-policy.ts';
import { addAdminRoutes } from '#swarm/member/admin-routes.ts';
import { openMember } from '#swarm/member/open.ts';
import { announceUrls } from './announce-urls.ts';
import { endpointsWatcherFor } from '#kubernetes/endpoint-members.ts';
import { OriginEvents } from './events.ts';
import { createOriginMetrics, observeReadings, type OriginMetrics } from './metrics.ts';
import { PlainFront } from './plain-front.ts';
import { addContentRoutes } from './routes/content.ts';
import { answerOriginError } from './routes/errors.ts';
import { addMemberRoutes } from './routes/members.ts';
import { addTorrentRoutes } from './routes/torrents.ts';
import { createServices, type Services } from './services.ts';

export interface OriginParts {
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Where proxies are named; the process' own by default. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** An origin that serves. Disposing it stops it: what is half read is kept. */
export interface RunningOrigin extends AsyncDisposable {
  /** `host:port` of the HTTP listener. */
  readonly address: string;
  /** `host:port` of `/metrics`, `/healthz` and `/readyz`. */
  readonly statusAddress: string;
  readonly peerPort: number;
}

/**
 * Starts an origin: the store, its place in the swarm, and the listener that agents and other origins ask.
 * @throws what a part that cannot start throws, saying which
 */
export async function startOrigin(config: OriginConfig, parts: OriginParts): Promise<RunningOrigin> {
  parts.signal.throwIfAborted();
  const { logger, metrics } = parts;
  await using starting = new AsyncDisposableStack();
  const security = loadSecurity(config, parts);
  const key = loadSigningKey(config.signingKeyFile);
  expectOwnSigningKey(key, config.signingKeyFile, security);
  starting.use(await claimDataDirectory(config.store.path));
  const own = createOriginMetrics(metrics);
  const now = parts.now ?? (() => performance.now());
  const events = new OriginEvents(logger, own, now);
  const upstream = openUpstream(config, parts, own, starting);
  const watchEndpoints = await endpointsWatcherFor([...config.trackers, ...config.origins], parts, starting);
  const discovery = { ...parts, security, ...(watchEndpoints && { watchEndpoints }) };
  const { trackers, origins, dispatcher } = await findMembers(config, discovery, starting);
  let services: Services | undefined;
  const trusted = trustedKeys(config, key);
  const onEvict = (digest: Digest): void => services?.torrents.evicted(digest);
  const { store, swarm } = await openMember(
    config,
    { role: 'origin', logger, metrics, security, dispatcher, trackers, trusted, onEvict },
    starting,
  );
  const life = new AbortController();
  const ground = {
    store,
    swarm,
    upstream,
    dispatcher,
    origins,
    security,
    key,
    events,
    now,
    life: life.signal,
  };
  services = await createServices(config, ground, starting);
  starting.defer(() => life.abort(new Error('the origin stops')));
  const { readings, bandwidth } = services;
  observeReadings(metrics, readings);
  starting.use(
    await startAdminSocket({
      directory: config.store.path,
      routes: (app) =>
        addAdminRoutes(app, {
          store,
          status: () => ({ swarm: swarm.engine.status, reads: readings.size }),
          limits: config.bandwidth,
          setLimits: (limits) => {
            swarm.engine.setLimits(limits);
            bandwidth.setLimit(limits.downloadBytesPerSecond);
          },
        }),
      logger,
      metrics,
    }),
  );
  const http = await listenForMembers(config, parts, { ...ground, services, peerPort: swarm.port }, starting);
  const readiness = (): { ready: boolean; reasons: string[] } =>
    parts.signal.aborted ? { ready: false, reasons: ['stopping'] } : { ready: true, reasons: [] };
  const status = starting.use(
    await startStatusServer({ ...config.status, security, metrics, readiness, logger }),
  );
  logger.info({ address: http.address, peers: swarm.port, security: security.mode }, 'origin serves');
  const running = starting.move();
  return {
    address: http.address,
    statusAddress: status.address,
    peerPort: swarm.port,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** An origin believes itself, also where its own key is not in its list. */
function trustedKeys({ trustedOriginKeys }: OriginConfig, key: SigningKey): PublicKey[] {
  const own = key.publicKey.toString('base64');
  return parsePublicKeys([...trustedOriginKeys.filter((other) => other !== own), own]);
}

function openUpstream(
  { upstreams }: OriginConfig,
  { env = process.env }: OriginParts,
  { upstreamRequests }: OriginMetrics,
  starting: AsyncDisposableStack,
): Upstream {
  const hosts = starting.use(new Hosts(upstreams.hosts, { proxy: proxySettings(env) }));
  return starting.use(
    new Upstream(
      { hosts },
      {
        onExchange: ({ purpose, status }) =>
          upstreamRequests.inc({ purpose, status: String(status ?? 'none') }),
      },
    ),
  );
}

interface Served {
  readonly services: Services;
  readonly upstream: Upstream;
  readonly security: Security;
  readonly peerPort: number;
  readonly life: AbortSignal;
}

async function listenForMembers(
  config: OriginConfig,
  { logger, metrics }: OriginParts,
  { services, upstream, security, peerPort, life }: Served,
  starting: AsyncDisposableStack,
): Promise<BoundServer> {
  const common = { bodyLimit: 1024, logger, metrics, errors: answerOriginError };
  const app = createHttpServer({ ...common, name: 'origin', security });
  const peer = (localAddress: string | undefined): HostPort => peerPlace(config, peerPort, localAddress);
  addContentRoutes(app, { ...services, upstream, policy: new UpstreamPolicy(config.upstreams), peer, life });
  addMemberRoutes(app, services);
  const front = config.strangers
    ? await admitStrangers(
        app,
        { ...common, announce: announceUrls(config.trackers), services, security, life },
        starting,
      )
    : undefined;
  const bound = starting.use(await listen(app, config.listen));
  if (front) starting.use(front);
  return bound;
}

/** `.torrent` files for stock clients; where members speak TLS, those speak plain HTTP on the same port. */
async function admitStrangers(
  app: FastifyInstance,
  {
    announce,
    services,
    security,
    life,
    ...common
  }: Omit<HttpServerOptions, 'name'> &
    Pick<Served, 'services' | 'life'> & { security: Security; announce: string[] },
  starting: AsyncDisposableStack,
): Promise<PlainFront | undefined> {
  const torrents = { torrents: services.torrents, announce, life };
  addTorrentRoutes(app, torrents);
  if (security.mode === 'off') return undefined;
  const plain = createHttpServer({ ...common, name: 'strangers' });
  addTorrentRoutes(plain, torrents);
  await plain.ready();
  starting.defer(() => plain.close());
  return new PlainFront(app.server, plain.server);
}

/** Where agents reach this origin's peer wire: as configured, else by the name or address that they reach it by. */
function peerPlace(
  { peer, advertise }: OriginConfig,
  port: number,
  localAddress: string | undefined,
): HostPort {
  if (peer.advertise !== undefined) return expectHostPort(peer.advertise);
  const host =
    advertise === undefined ? localAddress?.replace(/^::ffff:/iu, '') : expectHostPort(advertise).host;
  return { host: host ?? '127.0.0.1', port };
}

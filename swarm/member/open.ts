import type { Dispatcher } from 'undici';
import type { Digest } from '#registry/digest.ts';
import type { AgentConfig } from '#service/config/agent.ts';
import { expectHostPort } from '#service/host-port.ts';
import { type Security, wireIdentity } from '#service/identity.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import type { BatchVerifier } from '#swarm/hashes/batch.ts';
import type { TrackerList } from '#swarm/announce/tracker-client.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { type RunningSwarm, startSwarm, type SwarmOptions } from '#swarm/session/start.ts';
import { Whereabouts } from '#swarm/session/whereabouts.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { countTorrents, observeStore, observeSwarm } from './gauges.ts';
import { currentTroubles, risenLately, type TroubleSource } from './troubles.ts';

/** How long the tracker may take to tell, before an eviction, which blobs others hold too. */
const REPLICAS_TIMEOUT_MS = 2_000;

export interface MemberParts {
  readonly role: SwarmOptions['role'];
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly security: Security;
  /** For trackers. Not closed here. */
  readonly dispatcher: Dispatcher;
  readonly trackers: TrackerList;
  /** Only their signatures vouch for piece hashes. */
  readonly trusted: readonly BatchVerifier[];
  /** Troubles beside those of the store. */
  readonly troubles?: readonly TroubleSource[];
  /** The store does not have the digest any more. */
  readonly onEvict?: (digest: Digest) => void;
}

/** The knobs that agents and origins have in common. */
export type MemberConfig = Pick<AgentConfig, 'store' | 'node' | 'peer' | 'strangers' | 'bandwidth'>;

/**
 * Opens the store and takes this process' place in the swarm. Both end with `starting`.
 * @throws StoreError, the listening error
 */
export async function openMember(
  config: MemberConfig,
  parts: MemberParts,
  starting: AsyncDisposableStack,
): Promise<{ store: BlobStore; swarm: RunningSwarm }> {
  const { metrics, onEvict } = parts;
  let swarm: RunningSwarm | undefined;
  const store = starting.use(
    await BlobStore.open(
      { directory: config.store.path, quotaBytes: config.store.quotaBytes },
      {
        logger: parts.logger,
        now: Date.now,
        onEvict: (digest) => {
          swarm?.engine.evicted(digest);
          onEvict?.(digest);
        },
        replicas: async (digests) => (swarm ? replicated(swarm, digests) : new Set()),
      },
    ),
  );
  swarm = starting.use(await joinSwarm(config, parts, store));
  observeStore(metrics, store);
  observeSwarm(metrics, swarm.engine);
  return { store, swarm };
}

const monotonic = (): number => performance.now();

function joinSwarm(config: MemberConfig, parts: MemberParts, store: BlobStore): Promise<RunningSwarm> {
  const { peer } = config;
  const { name: node, rack, zone, region } = config.node;
  const whereabouts = new Whereabouts({ zone, region });
  const isFull = risenLately(() => store.usage().refusals, monotonic);
  const troubles: TroubleSource[] = [['store-full', isFull], ...(parts.troubles ?? [])];
  return startSwarm(
    {
      ...parts,
      store,
      count: countTorrents(parts.metrics, whereabouts),
      troubles: () => currentTroubles(troubles),
      now: monotonic,
      random: Math.random,
    },
    {
      role: parts.role,
      topology: { node, rack, zone, region },
      whereabouts,
      listen: expectHostPort(peer.listen),
      advertise: peer.advertise === undefined ? undefined : expectHostPort(peer.advertise),
      trackers: parts.trackers,
      identity: wireIdentity(parts.security),
      admitStrangers: config.strangers,
      limits: config.bandwidth,
      peers: peer,
    },
  );
}

/** Which of the blobs another member holds too, as far as the tracker knows. */
async function replicated({ announcer }: RunningSwarm, digests: Digest[]): Promise<Set<Digest>> {
  const ids = new Map(digests.map((digest) => [verifiedSwarmId(digest).toString('hex'), digest]));
  const counts = await announcer.replicas([...ids.keys()], AbortSignal.timeout(REPLICAS_TIMEOUT_MS));
  return new Set([...ids].filter(([id]) => (counts.get(id) ?? 0) > 0).map(([, digest]) => digest));
}

import type { Agent } from 'undici';
import type { OriginConfig } from '#service/config/origin.ts';
import { parseHostPort, type HostPort } from '#service/host-port.ts';
import { clientTls, membershipKey, type Security, serverTls } from '#service/identity.ts';
import type { Logger } from '#service/logger.ts';
import type { Metrics } from '#service/metrics.ts';
import { parsePublicKeys, type PublicKey, type SigningKey } from '#service/signing.ts';
import type { Digest } from '#registry/digest.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { type RunningSwarm, startSwarm, type SwarmOptions } from '#swarm/session/start.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { REPLICAS_MS } from './defaults.ts';
import { countTorrents } from './metrics.ts';

export interface OriginSwarmParts {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly security: Security;
  readonly dispatcher: Agent;
  readonly key: SigningKey;
  /** The store does not have the digest any more. */
  readonly onEvict: (digest: Digest) => void;
}

/** Opens the store and takes this origin's place in the swarm. Both end with `starting`. */
export async function openSwarm(
  config: OriginConfig,
  parts: OriginSwarmParts,
  starting: AsyncDisposableStack,
): Promise<{ store: BlobStore; swarm: RunningSwarm }> {
  const { logger, metrics, security, dispatcher } = parts;
  let swarm: RunningSwarm | undefined;
  const store = starting.use(
    await BlobStore.open(
      { directory: config.store.path, quotaBytes: config.store.quotaBytes },
      {
        logger,
        now: Date.now,
        onEvict: (digest) => {
          swarm?.engine.evicted(digest);
          parts.onEvict(digest);
        },
        replicas: async (digests) => (swarm ? replicated(swarm, digests) : new Set()),
      },
    ),
  );
  const { name: node, rack, zone, region } = config.node;
  swarm = starting.use(
    await startSwarm(
      {
        store,
        trusted: trustedKeys(config, parts.key),
        dispatcher,
        count: countTorrents(metrics),
        logger,
        now: () => performance.now(),
        random: Math.random,
      },
      {
        role: 'origin',
        topology: { node, rack, zone, region },
        listen: hostPort(config.peer.listen),
        advertise: config.peer.advertise === undefined ? undefined : hostPort(config.peer.advertise),
        trackers: config.trackers,
        identity: identityOf(security),
        admitStrangers: config.strangers,
        limits: config.bandwidth,
        peers: config.peer,
      },
    ),
  );
  return { store, swarm };
}

/** @throws TypeError */
export function hostPort(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (parsed === undefined) throw new TypeError(`"${text}" is not host:port`);
  return parsed;
}

/** An origin believes itself, also where its own key is not in its list. */
function trustedKeys(
  { trustedOriginKeys }: OriginConfig,
  key: SigningKey,
): readonly Pick<PublicKey, 'raw' | 'verify'>[] {
  const own = key.publicKey.toString('base64');
  return parsePublicKeys([...trustedOriginKeys.filter((other) => other !== own), own]);
}

async function replicated({ announcer }: RunningSwarm, digests: Digest[]): Promise<Set<Digest>> {
  const ids = new Map(digests.map((digest) => [verifiedSwarmId(digest).toString('hex'), digest]));
  const counts = await announcer.replicas([...ids.keys()], AbortSignal.timeout(REPLICAS_MS));
  return new Set([...ids].filter(([id]) => (counts.get(id) ?? 0) > 0).map(([, digest]) => digest));
}

function identityOf(security: Security): SwarmOptions['identity'] {
  const key = membershipKey(security);
  const server = serverTls(security);
  const client = clientTls(security);
  return { ...(key && { membershipKey: key }), ...(server && client && { tls: { server, client } }) };
}

import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import type { Dispatcher } from 'undici';
import type { OriginConfig } from '#service/config/origin.ts';
import type { Upstream } from '#registry/upstream.ts';
import type { Discovery } from '#service/discovery/discovery.ts';
import { clusterScheme } from '#service/http-client.ts';
import type { Security } from '#service/identity.ts';
import type { SigningKey } from '#service/signing.ts';
import { Bandwidth } from '#swarm/session/bandwidth.ts';
import type { RunningSwarm } from '#swarm/session/start.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { AnonymousRepositories } from './anonymous.ts';
import { Blobs } from './blobs.ts';
import { ANONYMOUS_FILE } from './defaults.ts';
import type { OriginEvents } from './events.ts';
import { HashSigner } from './hash-signer.ts';
import { Manifests } from './manifests.ts';
import { OpenedAhead } from './opened-ahead.ts';
import { Ownership } from './ownership.ts';
import { ringOf } from './ring-place.ts';
import { Provenance } from './provenance.ts';
import { Readings } from './readings.ts';
import { SelfTestImageHolder } from './self-test-content.ts';
import { SmallContent } from './small-content.ts';
import { StoredHashes } from './stored-hashes.ts';
import { SwarmCopies } from './swarm-copies.ts';
import { Tags } from './tags.ts';
import { StrangerRepositories } from './stranger-repositories.ts';
import { Torrents } from './torrents.ts';

/** What the services of an origin stand on. */
export interface Ground {
  readonly store: BlobStore;
  readonly swarm: RunningSwarm;
  readonly upstream: Upstream;
  readonly dispatcher: Dispatcher;
  readonly origins: Discovery;
  readonly security: Security;
  readonly key: SigningKey;
  readonly events: OriginEvents;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/** Everything that answers requests, joined up. */
export interface Services {
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly readings: Readings;
  readonly ownership: Ownership;
  readonly anonymous: AnonymousRepositories;
  readonly torrents: Torrents;
  /** Of what is read from upstream. */
  readonly bandwidth: Bandwidth;
}

/** Builds the services; what has to be stopped ends with `starting`. */
export async function createServices(
  config: OriginConfig,
  ground: Ground,
  starting: AsyncDisposableStack,
): Promise<Services> {
  const { store, swarm, upstream, events, now, life, dispatcher, security, key } = ground;
  const { engine, announcer } = swarm;
  const bandwidth = starting.use(new Bandwidth(config.bandwidth.downloadBytesPerSecond, now));
  const common = { store, engine, upstream, bandwidth, events, life, now, random: Math.random };
  const provenance = new Provenance({ ...common, randomInt });
  const signer = new HashSigner({ key, events });
  const small = new SmallContent(common);
  const readings = starting.use(new Readings({ ...common, provenance, signer }, config));
  const ownership = new Ownership(
    { ...common, dispatcher },
    { ring: ringOf(config, ground.origins), scheme: clusterScheme(security) },
  );
  if (config.selfTest) starting.use(new SelfTestImageHolder({ ...common, signer, small }));
  const blobs = new Blobs({
    ...common,
    readings,
    provenance,
    small,
    openedAhead: starting.use(new OpenedAhead({ events })),
    copies: new SwarmCopies({ ...common, announcer, provenance }),
    hashes: new StoredHashes({ ...common, signer }),
    readerElsewhere: (digest, registry) => ownership.readerElsewhere(digest, registry),
  });
  const manifests = new Manifests({
    ...common,
    small,
    provenance,
    tags: new Tags({ ...common, small }, config.tags),
  });
  const anonymous = starting.use(
    await AnonymousRepositories.open(
      { upstream, events, now: Date.now },
      join(config.store.path, ANONYMOUS_FILE),
    ),
  );
  const repositories = new StrangerRepositories(config.strangerRepositories);
  const torrents = new Torrents({ ...common, announcer, repositories });
  return { blobs, manifests, readings, ownership, anonymous, torrents, bandwidth };
}

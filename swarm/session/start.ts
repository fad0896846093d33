import { randomBytes } from 'node:crypto';
import type { Dispatcher } from 'undici';
import type { AnnounceLogger } from '#swarm/announce/announce-loop.ts';
import { Announcer, type AnnouncerSelf } from '#swarm/announce/announcer.ts';
import type { TrackerList } from '#swarm/announce/tracker-client.ts';
import type { Trouble } from '#swarm/announce/messages.ts';
import type { BatchVerifier } from '#swarm/hashes/batch.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { PeerTransport, type TransportParts } from '#swarm/wire/transport.ts';
import { Engine, type EngineLimits, type EngineOptions } from './engine.ts';
import type { TorrentCounters } from './torrent.ts';
import type { Whereabouts } from './whereabouts.ts';

/** BEP 20: the client and its version in front of random bytes. */
const PEER_ID_PREFIX = '-SH0100-';
const PEER_ID_BYTES = 20;

export interface SwarmParts {
  readonly store: BlobStore;
  readonly trusted: readonly BatchVerifier[];
  /** For trackers. Not closed here. */
  readonly dispatcher: Dispatcher;
  readonly count: TorrentCounters;
  /** What is told to the tracker for whoever runs the cluster. */
  readonly troubles?: () => readonly Trouble[];
  readonly logger: AnnounceLogger;
  readonly now: () => number;
  readonly random: () => number;
}

export interface SwarmOptions {
  readonly role: 'agent' | 'origin';
  readonly topology: AnnouncerSelf['topology'];
  readonly whereabouts: Whereabouts;
  /** Where peers are listened for. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Where peers reach this process, if not where the tracker sees it call from. */
  readonly advertise?: { readonly host: string; readonly port: number } | undefined;
  readonly trackers: TrackerList;
  readonly identity: Pick<TransportParts, 'membershipKeys' | 'tls'>;
  readonly admitStrangers: boolean;
  readonly limits: EngineLimits;
  readonly peers: EngineOptions['peers'];
}

/** This process in the swarm: its engine, its announcer, and where peers reach it. */
export interface RunningSwarm extends AsyncDisposable {
  readonly engine: Engine;
  readonly announcer: Announcer;
  readonly peerId: Buffer;
  readonly port: number;
}

/** Listens for peers, then announces what the store holds. @throws the listening error */
export async function startSwarm(parts: SwarmParts, options: SwarmOptions): Promise<RunningSwarm> {
  const peerId = Buffer.concat([
    Buffer.from(PEER_ID_PREFIX),
    randomBytes(PEER_ID_BYTES - PEER_ID_PREFIX.length),
  ]);
  await using starting = new AsyncDisposableStack();
  let engine: Engine | undefined;
  const transport = starting.use(
    new PeerTransport({
      ...options.identity,
      peerId,
      role: options.role,
      node: options.topology.node,
      zone: () => options.whereabouts.zone,
      admitStrangers: options.admitStrangers,
      accept: (infoHash, { member }) => engine?.accept(infoHash, member),
      onRefused: (error, remote) => parts.logger.debug({ err: error, remote }, 'refused a peer'),
    }),
  );
  const { port } = await transport.listen({ ...options.listen });
  const announcer = starting.use(
    new Announcer(
      {
        ...parts,
        trackers: options.trackers,
        secure: options.identity.tls !== undefined,
        onPlace: (place) => options.whereabouts.learn(place),
      },
      {
        peerId: peerId.toString('hex'),
        role: options.role,
        host: options.advertise?.host,
        port: options.advertise?.port ?? port,
        topology: options.topology,
      },
    ),
  );
  engine = starting.use(
    new Engine(
      { ...parts, transport, announcer, peerId, whereabouts: options.whereabouts },
      { showsEach: options.role === 'origin', limits: options.limits, peers: options.peers },
    ),
  );
  const running = starting.move();
  return { engine, announcer, peerId, port, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

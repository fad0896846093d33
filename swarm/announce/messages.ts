/**
 * What agents and origins say to a tracker and what it answers, as JSON over HTTP. One schema serves both
 * sides: the tracker checks requests with it, the announcer checks answers.
 *
 * A session is one announcer's view of what the tracker knows of it. Its first message (sequence 0) carries
 * `self` and starts it anew; each later one has the next sequence number and only what changed. A message whose
 * answer was lost is sent again, perhaps with more in it, under the same number. A tracker that cannot place a
 * message answers `resync`, upon which the announcer starts a new session and sends all it has.
 */
import { Type } from 'typebox';
import type { Static, TSchema } from 'typebox';

/** Most joins, updates, leaves, asks and aliases in one announce, each; more goes into further messages. */
export const MAX_SWARMS_PER_MESSAGE = 4096;
/** Most peers wanted for one swarm. */
export const MAX_WANT = 200;
/** Most peers in one answer, all swarms together. An announcer does not ask for more at a time. */
export const MAX_PEERS_PER_MESSAGE = 4096;
/** Largest request in bytes: room for each list in full, not for all of them at once. */
export const MAX_REQUEST_BYTES = 2 * 1024 * 1024;
/** Largest answer in bytes that an announcer reads. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Longest name of a node, rack, zone or region, in characters. */
const MAX_PLACE_LENGTH = 253;
/** Most info-hashes of one swarm that are told to a peer. */
export const MAX_ALIASES_PER_SWARM = 4;

const hexOf = (bytes: number) => Type.String({ pattern: `^[0-9a-f]{${bytes * 2}}$`, maxLength: bytes * 2 });
/** A swarm id, info-hash or peer id: 20 bytes as lower-case hex. */
const Id = hexOf(20);
const DigestText = Type.String({ pattern: '^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$', maxLength: 135 });
/** A name or an address, IPv6 without brackets. */
const Host = Type.String({ pattern: '^[A-Za-z0-9._:-]+$', minLength: 1, maxLength: 253 });
const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const Want = Type.Integer({ minimum: 0, maximum: MAX_WANT });
const PlaceName = Type.Optional(Type.String({ minLength: 1, maxLength: MAX_PLACE_LENGTH }));
const listOf = <T extends TSchema>(item: T) =>
  Type.Optional(Type.Array(item, { maxItems: MAX_SWARMS_PER_MESSAGE }));

export const Self = Type.Object({
  role: Type.Union([Type.Literal('agent'), Type.Literal('origin')]),
  /** Where peers reach it; without it, the address that the message came from. */
  host: Type.Optional(Host),
  port: Port,
  topology: Type.Object({ node: PlaceName, rack: PlaceName, zone: PlaceName, region: PlaceName }),
});
export type Self = Static<typeof Self>;

const Join = Type.Object({
  swarm: Id,
  complete: Type.Boolean(),
  /** Peers wanted with the answer. */
  want: Want,
  /** The blob, for the info-hashes that stock clients know it by. */
  digest: Type.Optional(DigestText),
});

/**
 * What whoever runs the cluster should do something about. `store-full`: there was no room for a blob; `mirror-missing`: the
 * node's runtime does not ask the agent; `upstream-denies`: a registry forbade pulls, or limits how many there may be.
 */
export type Trouble = 'store-full' | 'mirror-missing' | 'upstream-denies';

/** The body of `POST /v1/announce`. */
export const AnnounceRequest = Type.Object({
  peerId: Id,
  /** Random, 16 bytes. */
  session: hexOf(16),
  sequence: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  /** With sequence 0 and only there. */
  self: Type.Optional(Self),
  join: listOf(Join),
  update: listOf(Type.Object({ swarm: Id, complete: Type.Boolean() })),
  leave: listOf(Id),
  more: listOf(Type.Object({ swarm: Id, want: Want })),
  /** From origins: the blob of this swarm has an info-hash (BEP 3). The swarm id is the verified one. */
  alias: listOf(Type.Object({ swarm: Id, infoHash: Id, digest: DigestText })),
  /** All there are now, each a `Trouble`; others are those of a later version. */
  troubles: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 8 })),
  /** The member goes for good: everything of it is forgotten. */
  bye: Type.Optional(Type.Boolean()),
});
export type AnnounceRequest = Static<typeof AnnounceRequest>;

export const PeerAddress = Type.Object({
  /** Hex, 40 digits. */
  id: Id,
  host: Host,
  port: Port,
  role: Type.Union([Type.Literal('agent'), Type.Literal('origin'), Type.Literal('stranger')]),
  complete: Type.Boolean(),
});
export type PeerAddress = Static<typeof PeerAddress>;

const Peers = Type.Array(PeerAddress, { maxItems: MAX_WANT });
const Count = Type.Integer({ minimum: 0 });

export const SwarmPeers = Type.Object({
  peers: Peers,
  /** Other members of the swarm that hold the whole, and that do not yet. */
  complete: Count,
  incomplete: Count,
  /** Stock clients that hold or want the same blob under a BEP 3 info-hash. */
  aliases: Type.Array(Type.Object({ infoHash: Id, peers: Peers }), { maxItems: MAX_ALIASES_PER_SWARM }),
});
export type SwarmPeers = Static<typeof SwarmPeers>;

/** What a tracker is full of when it refuses a swarm. */
export const Refusal = Type.Union([
  Type.Literal('too many swarms'),
  Type.Literal('too many memberships'),
  Type.Literal('too many swarms of one member'),
]);
export type Refusal = Static<typeof Refusal>;

/** The answer to an announce. */
export const AnnounceAnswer = Type.Object({
  /** Milliseconds until the next message is due. */
  intervalMs: Type.Integer({ minimum: 100, maximum: 24 * 60 * 60 * 1000 }),
  /** The message was not applied: start a new session. */
  resync: Type.Optional(Type.Boolean()),
  /** With the first answer of a session: where the tracker takes the member to be, as far as it knows. */
  place: Type.Optional(Type.Object({ zone: PlaceName, region: PlaceName })),
  /** Each swarm joined or asked about with a want above zero, and each whose info-hashes the member has yet to hear. */
  swarms: listOf(Type.Object({ swarm: Id, ...SwarmPeers.properties })),
  /** Joins that were not applied. */
  refused: listOf(Type.Object({ swarm: Id, reason: Refusal })),
});
export type AnnounceAnswer = Static<typeof AnnounceAnswer>;

/** The body of `POST /v1/leases` (take or renew) and of `DELETE /v1/leases` (release, answered 204). */
export const LeaseRequest = Type.Object({
  peerId: Id,
  digest: DigestText,
  /** `verified` or a registry. */
  scope: Type.String({ minLength: 1, maxLength: 255 }),
});
export type LeaseRequest = Static<typeof LeaseRequest>;

export const LeaseAnswer = Type.Object({
  granted: Type.Boolean(),
  /** Granted: how long it lasts unless renewed. Else 0. */
  ttlMs: Count,
  /** Not granted: when to ask again. Else 0. */
  retryAfterMs: Count,
  /** Not granted: how many wait for a lease of this blob, the asker among them. */
  waiting: Type.Optional(Count),
});
export type LeaseAnswer = Static<typeof LeaseAnswer>;

/** The body of `POST /v1/replicas`. */
export const ReplicasRequest = Type.Object({
  /** Who asks; its own copies do not count. */
  peerId: Id,
  swarms: Type.Array(Id, { maxItems: MAX_SWARMS_PER_MESSAGE }),
});
export type ReplicasRequest = Static<typeof ReplicasRequest>;

export const ReplicasAnswer = Type.Object({
  /** Complete copies held by others, in the order asked. Strangers' copies do not count. */
  counts: Type.Array(Count, { maxItems: MAX_SWARMS_PER_MESSAGE }),
});
export type ReplicasAnswer = Static<typeof ReplicasAnswer>;

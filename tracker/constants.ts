/** Bounds of the tracker's memory. Each has a refusal that says which one was reached, and a metric. */
export interface TrackerLimits {
  /** Agents and origins known at once. */
  readonly maxMembers: number;
  readonly maxSwarms: number;
  /** Seats in swarms, all members together; each takes about 450 bytes. */
  readonly maxMemberships: number;
  readonly maxSwarmsPerMember: number;
  /** Stock clients known at once, all info-hashes together. */
  readonly maxStrangers: number;
  readonly maxLeases: number;
}

/** Room for 10,000 nodes with about a hundred blobs each. */
export const DEFAULT_LIMITS: TrackerLimits = {
  maxMembers: 20_000,
  maxSwarms: 200_000,
  maxMemberships: 1_000_000,
  maxSwarmsPerMember: 65_536,
  maxStrangers: 10_000,
  maxLeases: 100_000,
};

/** How long a start waits for Kubernetes' nodes to be known. */
export const NODES_PATIENCE_MS = 5000;
/** Announces a second of one member; one that has much to tell puts it into few. */
export const ANNOUNCES_PER_SECOND = 100;
/**
 * How long a connection stays open without a request: long enough for what an agent has to say when a pull begins and
 * ends, not until its next heartbeat. An open one takes 90 KiB, a new one a third of a millisecond of CPU time.
 */
export const KEEP_ALIVE_MS = 3_000;
/** How often what has timed out is looked for. */
export const SWEEP_INTERVAL_MS = 500;
/** Memberships dropped in one go before other work gets its turn. */
export const SWEEP_BUDGET = 5000;
/** Longest time until who was refused a lease should ask again. */
export const LEASE_RETRY_MS = 3000;
/** How long who was refused counts as waiting: it asks again within half of that. */
export const LEASE_WAITER_MS = 2 * LEASE_RETRY_MS;
/** Shortest, so that a lease about to end is not asked for in a spin. */
export const LEASE_RETRY_MIN_MS = 100;

/** Peers in a stranger's answer when it does not say how many it wants (BEP 3's customary number). */
export const STRANGER_WANT = 50;
/** Stock clients of one info-hash named to a Shoal peer. */
export const STRANGERS_PER_ALIAS = 10;
/** Swarms in one answer that are there only to tell of their info-hashes. */
export const MAX_NEWS = 1000;
/** Most info-hashes in one scrape (BEP 15 allows about 74 in a datagram). */
export const MAX_SCRAPE = 74;
/** Peers in a UDP answer over IPv6, so that the datagram stays below 1,400 bytes; over IPv4 200 fit. */
export const UDP_IPV6_PEERS = 70;
/** Largest body of a stranger's request: they have none. */
export const STRANGER_BODY_BYTES = 1024;
/** Sockets of strangers open at once. */
export const STRANGER_CONNECTIONS = 1024;

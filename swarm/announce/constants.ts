/** Changes that come within this time travel in one message. */
export const COALESCE_MS = 2;
/** Announce interval until a tracker has said its own. */
export const FIRST_INTERVAL_MS = 30_000;
/** Share of the interval by which a heartbeat may come early, so that those who started together drift apart. */
export const INTERVAL_JITTER = 0.25;
/** Longest wait for one answer. */
export const REQUEST_TIMEOUT_MS = 5000;
/** Longest wait for one tracker's answer to who wants a lease: a runtime waits meanwhile, and the next tracker may know. */
export const LEASE_TIMEOUT_MS = 1000;
/** Longest wait for the answer to a goodbye. */
export const GOODBYE_TIMEOUT_MS = 1000;
/** Longest wait of the probe that looks for a tracker earlier in the list. */
export const PROBE_TIMEOUT_MS = 1000;
/** Wait before the next tracker in the list is tried after one failed, before jitter. */
export const FAILOVER_MS = 50;
/** Wait after all of them failed; doubled each time around, before jitter. */
export const BACKOFF_MS = 250;
/** Longest such wait, and never more than half an announce interval. */
export const MAX_BACKOFF_MS = 10_000;
/** Shortest time between two asks for peers of one swarm, before jitter. */
export const ASK_SPACING_MS = 1000;
/** Members that are told of new trackers look for the preferred one within this time. */
export const NEW_TRACKERS_SPREAD_MS = 1000;

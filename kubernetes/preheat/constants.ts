/** Bounds and times of preheats. Times are milliseconds. */

/** How often a node that fetches is asked how far it is, before jitter. */
export const ASK_INTERVAL_MS = 1000;
/** First and longest wait before a node that failed is asked again, before jitter. */
export const NODE_BACKOFF_MS = 2000;
export const NODE_BACKOFF_CAP_MS = 60_000;
/** How long a node may be without an agent, as while that one is upgraded, before it is left out. */
export const AGENT_ABSENCE_MS = 120_000;
/** How often it is looked which nodes are due, and whether the time is over. */
export const TICK_MS = 500;
/** Shortest time between two writes of one status. */
export const STATUS_SPACING_MS = 1000;
/** Longest wait for an agent's answer. */
export const ASK_TIMEOUT_MS = 10_000;
/** How long Secrets are believed before they are read again. */
export const SECRETS_MS = 60_000;
/** Largest Secret that is looked into, in bytes. */
export const MAX_SECRET_BYTES = 1024 * 1024;
/** Preheats remembered that have ended of late. */
export const REMEMBERED_ENDS = 1024;
/** Longest message in a status. */
export const MAX_MESSAGE_CHARACTERS = 1024;

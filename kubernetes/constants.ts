/** Bounds and times of what talks to Kubernetes. Times are milliseconds, lengths bytes. */

/** Longest wait for the answer to one request. */
export const REQUEST_TIMEOUT_MS = 10_000;
/** Largest answer to a request, and largest line of a watch. etcd's own limit for one object is 1.5 MiB. */
export const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
export const MAX_EVENT_BYTES = 4 * 1024 * 1024;
/** Objects asked for at once when a collection is read. */
export const PAGE_SIZE = 500;

/** How long one watch lasts at most: the server ends it; half of that at least, so that watches drift apart. */
export const WATCH_SECONDS = 600;
/** A watch of which nothing is heard any more: bookmarks come about once a minute. */
export const WATCH_SILENCE_MS = 150_000;
/** A watch that lasted so long was a good one: what fails next is the first failure. */
export const WATCH_STEADY_MS = 5000;
/** First and longest wait before a collection is read or watched again, before jitter. */
export const WATCH_BACKOFF_MS = 250;
export const WATCH_BACKOFF_CAP_MS = 15_000;

/** A lease not renewed for so long is anyone's (client-go's customary times). */
export const LEASE_SECONDS = 15;
/** Its holder gives up leading when it could not renew for so long, well before others may take over. */
export const LEASE_RENEW_DEADLINE_MS = 10_000;
export const LEASE_RETRY_MS = 2000;

/** Attempts at a write that another writer was quicker with. */
export const CONFLICT_ATTEMPTS = 5;
export const CONFLICT_BACKOFF_MS = 50;

/** The same Event is written again at the earliest after this time, as one more occurrence. */
export const EVENT_SPACING_MS = 60_000;
/** Events remembered for that. */
export const REMEMBERED_EVENTS = 1024;
/** Longest message of an Event (Kubernetes' own limit). */
export const MAX_EVENT_MESSAGE = 1024;

/** How often nodes are looked at whose start-up taint is to be lifted, before jitter. */
export const TAINT_RETRY_MS = 1000;

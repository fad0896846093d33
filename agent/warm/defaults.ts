/** Bounds of what is fetched because a preheat asks for it. Times are milliseconds. */

/** Images fetched at one time, and blobs of each. */
export const WARM_RUNNING_IMAGES = 2;
export const WARM_PARALLEL_BLOBS = 3;
/** Images remembered; asking for more is refused. */
export const WARM_IMAGES = 256;
/** The fetch of an image that is not asked for any more is given up after this time. */
export const WARM_INTEREST_MS = 60_000;
/**
 * What is known of an image is kept longer, where there is room: who asks may be waiting out its own back-off of a
 * minute, and then for a place among the nodes asked at one time.
 */
export const WARM_MEMORY_MS = 600_000;
/** How often that is looked at. */
export const WARM_SWEEP_MS = 5_000;
/** First and longest wait before the next attempt, before jitter. */
export const WARM_BACKOFF_BASE_MS = 1_000;
export const WARM_BACKOFF_CAP_MS = 60_000;
/** How long a blob that was read whole may take to be in the store, and how often that is looked at. */
export const WARM_KEEP_MS = 10_000;
export const WARM_KEEP_INTERVAL_MS = 50;
/** Longest reason told. */
export const WARM_REASON_CHARACTERS = 512;

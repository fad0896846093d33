/** Blobs that one store keeps at most, so that a flood of tiny ones bounds memory, inodes and the time of a start. */
export const MAX_BLOBS = 100_000;

/** Half-done blobs that are kept on disk while nobody holds them; the least recently used go first. */
export const MAX_KEPT_PARTIALS = 1024;

/** A half-done blob that nobody has held for this long is the first to go when room is needed, in milliseconds. */
export const PARTIAL_AGE_MS = 3_600_000;

/** How many of the least recently used blobs are put to `replicas` at once. */
export const REPLICA_CANDIDATES = 64;

/** How long an eviction waits for `replicas`, in milliseconds. */
export const REPLICA_TIMEOUT_MS = 500;

/** For how long an answer of `replicas`, or its failure, is used, in milliseconds. */
export const REPLICA_MEMORY_MS = 30_000;

/** A full disk is relieved of at least this many bytes at a time. */
export const DISK_RELIEF_BYTES = 16 * 1024 * 1024;

/** How often an operation that met a full disk is tried again after an eviction. */
export const DISK_RELIEF_ROUNDS = 8;

/** When so much waits to be written, who has another small blob waits. Bytes. */
export const MAX_WRITING_BYTES = 16 * 1024 * 1024;

/** How long a small blob is in memory only, unless half of what may wait does. Milliseconds. */
export const WRITE_DELAY_MS = 500;

/** Small blobs that may wait to be written. */
export const MAX_WRITES = 256;

/** The last access of a blob is written to its file times at most this often, in milliseconds. */
export const ACCESS_PERSIST_MS = 60_000;

/** Facts reach the disk at most this long after they were added, in milliseconds. */
export const FACTS_DELAY_MS = 1000;

/** Registries, and repositories, remembered per blob. */
export const MAX_FACTS = 64;

/** Characters of one fact: a registry of 255 with port, a slash and a repository of 255. */
export const MAX_FACT_LENGTH = 1024;

/** Bytes of a facts file that are read at most. */
export const MAX_FACTS_BYTES = 1024 * 1024;

/** Bytes of one batch of hashes: 4096 hashes and its signature fit in well. */
export const MAX_BATCH_BYTES = 256 * 1024;

/** Bytes of one blob's batches: a hash for each piece of a blob of one tebibyte. */
export const MAX_BATCH_LOG_BYTES = 64 * 1024 * 1024;

/** Bytes read and hashed at a time when a blob is verified again. */
export const VERIFY_CHUNK_BYTES = 256 * 1024;

/** Flushes to disk that run at once: each holds one of libuv's four threads for as long as the disk takes. */
export const CONCURRENT_FLUSHES = 2;

/** Directory entries that a start looks at side by side. */
export const SCAN_WIDTH = 16;

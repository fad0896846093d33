/**
 * Bounds of an origin that no knob changes. Those with a knob have their default in the configuration's schema.
 * Times are milliseconds, lengths bytes, unless the name says otherwise.
 */

/** Content up to this length travels by HTTP: one piece of a swarm. */
export const SMALL_BYTES = 256 * 1024;
/** Longest manifest: what OCI's distribution specification asks registries to take at least. */
export const MANIFEST_LIMIT = 4 * 1024 * 1024;

/** Layers of an image that upstream is asked for before a runtime asks: as many as runtimes pull at a time. */
export const LAYERS_AHEAD = 3;
/** How long, and how many of, upstream's answers are held for layers that nobody has asked for yet: a piece each. */
export const OPENED_AHEAD_MS = 5_000;
export const MAX_OPENED_AHEAD = 48;
/** How long who asks waits for such an answer before a request of his own, where that would be the same and where it would not. */
export const OPENED_AHEAD_PATIENCE_MS = 4_000;
export const OTHERS_AHEAD_PATIENCE_MS = 500;

/** Reads of blobs from upstream that run at one time; who asks for more is sent to another origin. */
export const MAX_READS = 256;
/** Hashes of stored pieces in a batch that is signed anew. */
export const BATCH_PIECES = 64;
/**
 * What is being read is signed so long after the batch before: a twentieth of the time that the read has gone on,
 * within these bounds, for each batch costs every agent an Ed25519 check and a write, and each millisecond keeps a
 * piece from those who wait. Milliseconds.
 */
export const BATCH_SHARE = 0.05;
export const BATCH_LEAST_MS = 20;
export const BATCH_MOST_MS = 100;
/** The shortest wait is that of so many pieces at a blob's end: whoever waits for them waits for nothing else. */
export const LAST_PIECES = 16;
/** As soon as so much waits, it is signed. */
export const BATCH_BYTES = 4 * 1024 * 1024;
/** Without room on disk: bytes of a blob that wait in memory for a peer to take them. Less than a torrent drops untaken. */
export const MEMORY_WINDOW_BYTES = 12 * 1024 * 1024;
/** How often a paused read looks whether it may go on. */
export const PAUSE_MS = 10;
/** In a take-over: how long the swarm has to show what it holds. */
export const SWARM_WAIT_MS = 300;
/** Pieces that peers have, and that do not come for so long, are read from upstream after all. */
export const PEERS_PATIENCE_MS = 3_000;
/** Likewise, those whose hash no peer has told in this time: agents read them while there was no origin. */
export const UNSIGNED_PATIENCE_MS = 1_000;
/** A read that nobody has asked for, nor any peer wants, for so long is stopped. */
export const LINGER_MS = 30_000;
/** How often a read looks whether somebody still wants it. */
export const WANTED_CHECK_MS = 1_000;
/** Bytes that count as progress: an upstream that cuts after every few bytes is not waited for without end. */
export const PROGRESS_BYTES = 64 * 1024;
/** A read below the least rate for so long is asked for anew; the next body has twice as long, and so many in a row are given up. */
export const SLOW_MS = 10_000;
export const MAX_SLOW_BODIES = 3;
/** First and longest delay before an upstream that broke off is asked again. */
export const BACKOFF_BASE_MS = 200;
export const BACKOFF_CAP_MS = 5_000;
/** Credentials held for one read. */
export const MAX_CALLERS = 32;
/** Reads that ended before their blob was whole, remembered so that what is left of them is not read again. */
export const MAX_INTERRUPTED = 4_096;
/** After a start on half-done blobs: how long any read may find some of its pieces on disk. */
export const RECOVERY_MS = 10 * 60_000;

/** How long peers may take for the bytes that a registry has to match. */
export const PROOF_FROM_PEERS_MS = 3_000;
/** A blob that comes from peers is given up when no piece of it came for so long. */
export const SWARM_STALL_MS = 30_000;
/** How long a tracker may take to tell whether the cluster holds a blob. */
export const REPLICAS_MS = 500;

/** How long another origin may take: until its headers, and when it is asked what it reads. */
export const FORWARD_MS = 15_000;
export const ASK_READS_MS = 500;

/** An upstream found unreachable when a tag was to be revalidated is not asked again for this long. */
export const TAG_OUTAGE_MS = 5_000;

/** Repositories of which it is known whether they are served anonymously. */
export const ANONYMOUS_REPOSITORIES = 4_096;
/** How long that is believed where they are, and where they are not. */
export const ANONYMOUS_CHECK_MS = 30 * 60_000;
export const NOT_ANONYMOUS_CHECK_MS = 60 * 60_000;
/** How soon it is looked at again where a caller without a credential is refused. */
export const ANONYMOUS_REFUSED_MS = 60_000;
/** A standing that callers without credentials keep proving is noted anew this often. */
export const ANONYMOUS_REFRESH_MS = 10 * 60_000;
/** Checks that run, and that wait, at one time; more are left for the next occasion. */
export const ANONYMOUS_CHECKS = 2;
export const ANONYMOUS_QUEUE = 256;
export const ANONYMOUS_CHECK_TIMEOUT_MS = 30_000;
/** Found standings reach the disk at most this long after they were found. */
export const ANONYMOUS_SAVE_MS = 1_000;
/** Where in the data directory; beside it lies the next one, with .new, while it is written. */
export const ANONYMOUS_FILE = 'anonymous.json';

/** How often the origin looks whether it holds the image of agents' self-test. */
export const SELF_TEST_CHECK_MS = 60_000;

/** Bytes of info dictionaries kept for `.torrent` files, over all blobs. */
export const TORRENT_CACHE_BYTES = 32 * 1024 * 1024;
/** Blobs that are hashed for their `.torrent` at one time. */
export const TORRENTS_MADE_AT_ONCE = 1;
/** Where trackers listen for stock clients unless told otherwise. */
export const STRANGERS_TRACKER_PORT = 29_512;
/** Connections of strangers who ask for `.torrent` files, and how long an idle one is kept. */
export const STRANGER_CONNECTIONS = 64;
export const STRANGER_IDLE_MS = 15_000;

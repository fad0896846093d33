/** The share of a torrent's connections (knob `peer.maxPeersPerSwarm`) that it opens itself; the rest is for those who call. */
export const MAX_DIALLED_SHARE = 0.75;

/** Addresses kept per torrent. */
export const MAX_ADDRESSES = 256;

/** Dials under way at once per torrent. */
export const MAX_DIALS = 4;

/**
 * Verified pieces kept in memory for those who ask next, over all torrents; most of it for own readers, who would have to read back
 * all that came out of order. While they keep up it is what peers ask for too.
 */
export const PIECE_CACHE_LIMITS = {
  bytes: 20 * 1024 * 1024,
  awaitedBytes: 16 * 1024 * 1024,
  /** At full speed a reader that lags by more than a few seconds lags by more than the cache holds. */
  awaitedMs: 5_000,
};

/** So long after the disk has taken a piece, or given it back as it was, it is read for peers without its hash. Milliseconds. */
export const PROVEN_MS = 60_000;
/** Of such pieces the first that is read back is compared with its hash all the same, and one of so many after it: a disk that lies is found out. */
export const SAMPLE = 8;
/** Longer ones are served out of the whole piece, which the next peers then find in memory. Of a piece. */
export const SHORT_BLOCK = 1 / 4;

/** Memory of pieces that nobody uses and that is kept for the next. Bytes. */
export const FREE_PIECE_BYTES = 16 * 1024 * 1024;

/** Pieces of stored blobs that are read and verified at one time for those who ask at the door: libuv has four threads. */
export const PIECES_READ_AT_ONCE = 8;
/** Bytes of pieces that such answers keep while their clients take them. Beyond, an answer keeps ANSWER_CHUNK_BYTES and reads a piece again for the rest. */
export const LENT_PIECE_BYTES = 64 * 1024 * 1024;
/** The most that an answer keeps without being lent it; two of them, for one is read while the other is sent. */
export const ANSWER_CHUNK_BYTES = 256 * 1024;

/** When so much waits to be written, nothing more is asked for. Bytes per torrent. */
export const MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024;

/** When so much of all torrents waits, those that some of it belongs to ask for no more. What is asked for already comes on top. Bytes. */
export const MAX_ALL_UNWRITTEN_BYTES = 64 * 1024 * 1024;

/** Pieces kept in memory where the disk takes none, the oldest dropped first. Bytes per torrent. */
export const MAX_UNSTORED_BYTES = 16 * 1024 * 1024;

/** When so much has come whose hash nobody has told, only pieces with a known hash are asked for. Bytes per torrent. */
export const MAX_PARKED_BYTES = 16 * 1024 * 1024;

/** Pieces ahead of a reader that peers are asked about where they were held before and had to go. */
export const RECALLED_PIECES = 16;

/** How often a torrent looks for stalled readers, late answers and peers to dial. Milliseconds. */
export const TICK_MS = 100;

/** A reader that has waited this long for a piece asks an origin for it by name. Milliseconds. */
export const WANT_AFTER_MS = 150;

/** A reader that has waited this long has the piece asked for a second time, of another peer. Milliseconds. */
export const RESCUE_AFTER_MS = 600;

/** So long a reader waits where the peer that was asked for the piece is sending: on a slow link it would come twice. Milliseconds. */
export const RESCUE_LATEST_MS = 2_000;

/** A peer that sends fewer bytes than this in `TICK_MS` only trickles. */
export const TRICKLE_BYTES = 8 * 1024;

/** A peer that was asked and has sent neither a block nor `HEARD_BYTES` of one in this time is not waited for any more. Milliseconds. */
export const REQUEST_TIMEOUT_MS = 5_000;

/** So much is no news of pieces: it sends a block, if over a slow link. Bytes. */
export const HEARD_BYTES = 64 * 1024;

/** Nor is it asked again before this time. Milliseconds. */
export const SNUB_MS = 10_000;

/** A download that nobody reads goes on for this long: runtimes close one request and open the next. Milliseconds. */
export const LINGER_MS = 15_000;

/** A torrent that neither downloads nor has a connection is closed after this time. Milliseconds. */
export const IDLE_MS = 60_000;

/** A connection in which neither side wants anything is closed after this time. Milliseconds. */
export const QUIET_MS = 30_000;

/** With fewer connections than this, the tracker is asked for more peers. */
export const MIN_PEERS = 4;

/** A reader that has waited this long without help has the tracker asked for more peers. Milliseconds. */
export const STARVED_MS = 2_000;

/** Before the tracker is asked the second time; twice as long before each further one, up to the longest. Milliseconds. */
export const MORE_PEERS_MS = 1_000;
export const MORE_PEERS_LONGEST_MS = 30_000;

/** Peers asked of the tracker at once. */
export const WANTED_PEERS = 30;

/** After the bytes for a digest turned out wrong, no swarm is trusted with it for this long. Milliseconds. */
export const POISONED_MS = 60_000;

/** Digests remembered as poisoned. */
export const MAX_POISONED = 1_024;

/** Torrents open at once: downloading, or seeding to somebody; knob-free, for each idles away by itself. */
export const MAX_TORRENTS = 1_024;

/** Signed batches kept aside until they count, each as it came and opened: up to 4,096 pieces, twice 128 KiB. */
export const MAX_SPARE_BATCHES = 64;

/**
 * Bounds of the agent that no knob changes. Those with a knob have their default in the configuration's schema.
 * Times are milliseconds, lengths bytes, unless the name says otherwise.
 */

/** Content up to this length travels by HTTP: one piece of a swarm. */
export const SMALL_BYTES = 256 * 1024;
/** Longest manifest: what OCI's distribution specification asks registries to take at least. */
export const MANIFEST_LIMIT = 4 * 1024 * 1024;

/** Requests at the door that run at one time; more are told 503. */
export const MAX_RUNNING_REQUESTS = 512;
/** When the agent stops: how long answers under way may go on. Within what a process has for its stop, and what Kubernetes gives a pod. */
export const DOOR_GRACE_MS = 15_000;
/** What a request that was shed is told to wait, in seconds. */
export const SHED_RETRY_SECONDS = 1;
/** Callers whose rate is followed at one time. */
export const RATED_CALLERS = 1024;
/** How long a token of the door's counts, how many count at one time, and the scopes of one. */
export const DOOR_TOKEN_MS = 300_000;
export const DOOR_TOKENS = 1024;
export const MAX_TOKEN_SCOPES = 16;

/** How long the 401 that a repository gives to callers without credentials is remembered: containerd sends each request without first. */
export const ANONYMOUS_REFUSAL_MS = 10_000;
export const ANONYMOUS_REFUSALS = 1024;
/** How much older than a demand for a token a repository's public standing may be: origins look once in half of that. */
export const ANONYMOUS_TOKEN_MS = 60 * 60_000;
/** Repositories whose public standing, as origins tell it, is remembered. */
export const ANONYMOUS_REPOSITORIES = 4096;
/** How long what an origin said of a repository's public standing is taken without asking again. */
export const ANONYMOUS_ANSWER_MS = 10_000;
/** How long a registry that was found unreachable is not waited for by callers whose earlier verdict stands in, and of how many. */
export const OUTAGE_MS = 5_000;
export const OUTAGES = 1024;
/** Digests whose facts are kept in memory beside those in the store. */
export const REMEMBERED_FACTS = 8192;
/** Registries and repositories remembered for one digest. */
export const FACTS_PER_DIGEST = 64;

/** Longest descriptor or error body taken from an origin. */
export const ORIGIN_BODY_LIMIT = 64 * 1024;
/** How long an origin may take to say what it has: it may have to ask the registry first. */
export const ORIGIN_ANSWER_MS = 20_000;

/** Tags whose last known digest is kept for when registry and origins are both down, and for how long. */
export const REMEMBERED_TAGS = 1024;
export const REMEMBERED_TAG_MS = 60 * 60 * 1000;
/** How often origins hear of a tag that a runtime asks for by HEAD, while its digest stays the same. */
export const TAG_NEWS_MS = 10 * 60 * 1000;
/** Tags of which origins are told at one time. */
export const TAG_NEWS_WIDTH = 16;
/** How long peers may take for a manifest that no origin serves. */
export const PEER_MANIFEST_MS = 3_000;

/** How long peers may take to give the random ranges by which a registry proves to have their content. */
export const PROOF_PATIENCE_MS = 2_000;

/** How often a pull that runs is looked at for a stall. */
export const WATCH_INTERVAL_MS = 100;
/** Most that counts of the time between two looks: in a longer one the process, and not the swarm, stood still. */
export const AWAKE_STEP_MS = 250;
/** A reader without a piece for this long makes the agent ask an origin again, at most so often. */
export const ASK_AGAIN_MS = 700;
/** The first time sooner where the connection to the origin has gone: it will not come back, and the ring's next can help. */
export const ASK_NEXT_MS = 200;
export const ASK_AGAIN_PATIENCE_MS = 1_500;
/** With no origin at hand, a reader without a piece for this long is a stall: there is no server that would still send it. */
export const STALL_WITHOUT_ORIGIN_MS = 250;
/** How many times `fallback.stallMs` an origin that is reading may be silent: the registry itself may be slow. */
export const PATIENCE_WITH_ORIGIN = 5;
/** Longest wait of an agent that got no lease before it asks again (design, "Fallback"). */
export const LEASE_WAIT_MS = 3_000;
export const LEASE_WAIT_MIN_MS = 50;
/** Without its turn, an agent reads a piece for a reader that has waited so long, or for `fallback.stall` if that is longer. */
export const LEASE_PATIENCE_MS = 2_200;
/** A tracker has so long to say whose turn it is, however long the reader has waited: before that nobody reads out of turn. */
export const LEASE_ANSWER_MS = 300;
/**
 * Pieces of one blob that those without a turn read from upstream in a second, all together: the more of them wait, the
 * more patient each is. Up to 220 agents then wait no longer than LEASE_PATIENCE_MS.
 */
export const UNLEASED_PIECES_PER_SECOND = 100;
/** Without a tracker to lease from, agents spread their upstream reads over this time. */
export const UNLEASED_SPREAD_MS = 3_000;
/** Bytes read from upstream under one lease before the swarm is looked at again. */
export const FALLBACK_READ_BYTES = 8 * 1024 * 1024;
/**
 * How far ahead of its readers such a read may begin, and how often it looks whether they have come closer. Together
 * with what is read then less than a torrent keeps in memory where the disk is full: what it drops would be read again.
 */
export const FALLBACK_AHEAD_BYTES = 6 * 1024 * 1024;
export const AHEAD_INTERVAL_MS = 50;
/** First and longest delay between attempts at an upstream that has vanished. */
export const UPSTREAM_BACKOFF_BASE_MS = 250;
export const UPSTREAM_BACKOFF_CAP_MS = 5_000;

/** Digests whose bytes by source are kept for `/shoal/v1/sources`. */
export const REMEMBERED_SOURCES = 1024;
/** How long the addresses of a registry that uses the door's own port are kept. */
export const ADDRESS_MS = 60_000;
export const REMEMBERED_ADDRESSES = 256;

/** How long one tracker or origin may take to show that it takes the cluster key, and how long that is believed. */
export const KEY_CHECK_TIMEOUT_MS = 5_000;
export const KEY_CHECK_LIFETIME_MS = 30_000;

/**
 * How long the self-test may hold back readiness; how long origins may answer that they do not hold an image, for they make
 * it right after their own start; and the delays between its attempts.
 */
export const SELF_TEST_TIMEOUT_MS = 5_000;
export const SELF_TEST_UNKNOWN_MS = 2_000;
export const SELF_TEST_BACKOFF = { baseMs: 100, capMs: 500 };

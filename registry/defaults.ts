/**
 * Defaults of the upstream client, one named constant for each knob.
 * Times are milliseconds, lengths bytes, unless the name says otherwise.
 */

/** Longest error body that is read from a remote. */
export const ERROR_BODY_LIMIT = 64 * 1024;
/** Longest answer of a token endpoint. */
export const TOKEN_BODY_LIMIT = 64 * 1024;
/** Longest tags list or referrers answer that is passed through: OCI asks clients and registries for at least 4 MiB. */
export const LIST_BODY_LIMIT = 4 * 1024 * 1024;
/** How long an error body may take before what arrived of it is used. */
export const ERROR_BODY_TIMEOUT_MS = 3_000;

/** Knob `connectTimeoutMs`: TCP and TLS together. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Knob `headersTimeoutMs`: from the request sent to the answer's headers. */
export const HEADERS_TIMEOUT_MS = 30_000;
/** Knob `bodyIdleTimeoutMs`: between two pieces of a body, while the reader is waiting for one. */
export const BODY_IDLE_TIMEOUT_MS = 30_000;

/** Knob `attempts`: requests made for one call, the first included. */
export const ATTEMPTS = 3;
/** Knob `backoffBaseMs`: first delay between attempts; it doubles from there. */
export const BACKOFF_BASE_MS = 200;
/** Knob `backoffCapMs`: longest delay between attempts. */
export const BACKOFF_CAP_MS = 5_000;
/** Knob `retryAfterCapMs`: a Retry-After beyond this is handed to the caller instead of waited for. */
export const RETRY_AFTER_CAP_MS = 10_000;
/** Knob `redirects`: hops followed for one request. */
export const REDIRECTS = 5;

/** Knob `resumeAttempts`: resumes of one broken body without progress between them. */
export const RESUME_ATTEMPTS = 30;
/** Knob `resumePatienceMs`: how long a broken body may stay without progress before the read fails. */
export const RESUME_PATIENCE_MS = 60_000;
/** Bytes that count as progress: an upstream that cuts after every few bytes runs out of attempts. */
export const RESUME_PROGRESS_BYTES = 64 * 1024;
/** Authorizations that are tried for one resume. */
export const RESUME_AUTHORIZATIONS = 16;

/** Knob `bodyBufferBytes`: bytes of one body that wait in memory before the socket is paused. */
export const BODY_BUFFER_BYTES = 1024 * 1024;
/** Chunks of one body that wait in memory: bounds the cost of a body sent in tiny chunks. */
export const BODY_BUFFER_CHUNKS = 1024;

/** Knob `connectionsPerOrigin`: sockets to one scheme, host and port. */
export const CONNECTIONS_PER_ORIGIN = 256;
/** Origins with open sockets at one time; redirects may name any number of them. */
export const MAX_ORIGINS = 1024;
/** How long an idle connection is kept. */
export const KEEP_ALIVE_MS = 15_000;

/** Knob `tokenCacheEntries`: bearer tokens kept. */
export const TOKEN_CACHE_ENTRIES = 1024;
/** Life of a token that names none (docker token specification, `expires_in`). */
export const TOKEN_LIFE_SECONDS = 60;
/** Longest life that is believed. */
export const TOKEN_LIFE_CAP_SECONDS = 3600;
/** Registries whose challenge is remembered. */
export const CHALLENGE_CACHE_ENTRIES = 256;

/** Bytes of one proof that a registry has the content we hold, all its ranges together. */
export const PROOF_BYTES = 32 * 1024;
/** Ranges of one proof. */
export const PROOF_RANGES = 8;
/** A range with fewer different byte values could be guessed: another is chosen. */
export const PROOF_MIN_VALUES = 32;
/** Places tried in one part of the content before that part is passed over. */
export const PROOF_TRIES = 4;

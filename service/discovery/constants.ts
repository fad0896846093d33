/** How long an answer of the name service is good for at most, and at least, whatever its TTL says. Milliseconds. */
export const LONGEST_ANSWER_MS = 3000;
export const SHORTEST_ANSWER_MS = 500;
/** Share of that by which a question may come early, so that nodes that started together drift apart. */
export const ANSWER_JITTER = 0.2;
/** Wait after a question that failed; doubled with each further one, before jitter. */
export const FAILED_ANSWER_MS = 1000;
export const LONGEST_FAILED_ANSWER_MS = 10_000;
/** One attempt at one server, and how many of them. */
export const QUERY_TIMEOUT_MS = 1000;
export const QUERY_TRIES = 2;
/** A start waits so long for the first answer, then goes on without. */
export const FIRST_ANSWER_MS = 3000;
/** Most members that one name may stand for. */
export const MAX_MEMBERS = 256;

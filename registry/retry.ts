import { causesOf, codeOf } from './as-error.ts';
import { setTimeout as delay } from 'node:timers/promises';

/** Statuses that another attempt may change (RFC 9110, 15.5.9, 15.6; RFC 6585, 4; RFC 8470, 5.2). */
const TEMPORARY_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Error codes of sockets, DNS and undici that another attempt may change. */
const TEMPORARY_CODES: ReadonlySet<string> = new Set([
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EAI_AGAIN',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMFILE',
  'ENETDOWN',
  'ENETUNREACH',
  'ENFILE',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_MAX_ORIGINS_REACHED',
  'UND_ERR_PRX_CONN',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_SOCKET',
]);

export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
  /** From 0 up to 1. */
  readonly random: () => number;
}

export function isTemporaryStatus(status: number): boolean {
  return TEMPORARY_STATUSES.has(status);
}

/** True where an error, or one that caused it, has a code of the table. */
export function isTemporaryError(error: unknown): boolean {
  return causesOf(error).some((cause) => TEMPORARY_CODES.has(codeOf(cause)));
}

/** Delay before attempt `failures + 1`, in milliseconds: exponential up to the cap, the upper half of it random. */
export function backoffMs(failures: number, { baseMs, capMs, random }: Backoff): number {
  const full = Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (random() * full) / 2;
}

const LONGEST_RETRY_AFTER_SECONDS = 24 * 3600;

/** Reads Retry-After (RFC 9110, 10.2.3), a number of seconds or a date, as seconds from `now` (ms since 1970); at most a day. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (text === '' || text.length > 64) return undefined;
  const seconds = /^\d+$/u.test(text) ? Number(text) : (Date.parse(text) - now) / 1000;
  return Number.isNaN(seconds)
    ? undefined
    : Math.min(LONGEST_RETRY_AFTER_SECONDS, Math.max(0, Math.ceil(seconds)));
}

/** Parts of a cluster start side by side; images may have to be pulled and disks mounted. */
const STARTUP_GRACE_MS = 30_000;

/** Error codes of sockets, DNS and undici that say of another part that it is not there, or not yet. */
const ABSENCE_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EAI_AGAIN',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'ETIMEDOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
]);

/**
 * How loudly it is told that another part gives no usable answer and is tried again: right after this part's start it is
 * to be expected that another is not there yet, later somebody has to look. What waiting does not mend, such as another
 * cluster key, is a warning from the start.
 * @param now milliseconds, monotonic
 */
export function startupGrace(now: () => number): (error: unknown) => 'info' | 'warn' {
  const startedAt = now();
  return (error) => (now() - startedAt < STARTUP_GRACE_MS && isAbsence(error) ? 'info' : 'warn');
}

function isAbsence(error: unknown): boolean {
  // What `AbortSignal.timeout` gives as its reason has no code of its own.
  return causesOf(error).some((cause) => ABSENCE_CODES.has(codeOf(cause)) || cause.name === 'TimeoutError');
}

/** Waits; when the signal aborts first, throws its reason. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

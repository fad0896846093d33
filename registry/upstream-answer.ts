import type { Credentials } from './credentials.ts';
import { type Digest, isDigest } from './digest.ts';
import { ERROR_BODY_LIMIT, ERROR_BODY_TIMEOUT_MS } from './defaults.ts';
import { headerValue, headerValues, type ResponseHeaders } from './exchange.ts';
import { type OciErrorEntry, parseOciErrors } from './oci-error.ts';
import { type ContentRange, ContentRangeError, parseContentRange } from './range.ts';
import { readErrorBody, type ResponseBody } from './response-body.ts';
import type { Purpose, TransportAnswer } from './transport.ts';
import { UpstreamProtocolError, UpstreamRefusedError, UpstreamUnreachableError } from './upstream-error.ts';

/** A repository of a registry, both as `parseReference` gives them. */
export interface RepositoryName {
  readonly registry: string;
  readonly repository: string;
}

/** A manifest by tag or digest, or a blob by digest. */
export interface Target extends RepositoryName {
  readonly kind: 'manifest' | 'blob';
  readonly reference: string;
}

/**
 * In whose name the upstream is asked. `forward`: the caller's Authorization header, put as it is; its 401 comes
 * back with the challenges. `own`: challenges are answered here, with the registry's credential where there is one.
 */
export type Authorization =
  | { readonly kind: 'forward'; readonly authorization?: string }
  | { readonly kind: 'own'; readonly credentials?: Credentials };

/** The headers of a good answer. */
export interface Delivered {
  readonly ok: true;
  /** 200, or 206 where a range was asked and given. */
  readonly status: number;
  /** Of the whole, in bytes, where the upstream tells it. */
  readonly size?: number;
  /** Docker-Content-Digest: what the upstream says, to be verified. */
  readonly digest?: Digest;
  readonly mediaType?: string;
  readonly etag?: string;
  /** What the body holds, in an answer 206. */
  readonly range?: ContentRange & { readonly kind: 'range' };
  readonly headers: ResponseHeaders;
}

/** A good answer to `get`. The body is read to its end or cancelled; it fails with `UpstreamUnreachableError` or the signal's reason. */
export interface DeliveredBody extends Delivered {
  readonly body: ResponseBody;
}

export interface Refused {
  readonly ok: false;
  readonly kind: 'refused';
  /** A 4xx other than 408, 425 and 429. */
  readonly status: number;
  /** WWW-Authenticate values of the registry, as they came; none where a host that it redirected to refused. */
  readonly challenges: readonly string[];
  /** At least one: the registry's own, else what the status means. */
  readonly errors: readonly OciErrorEntry[];
  /** At most 64 KiB of it. */
  readonly body: Buffer;
  readonly headers: ResponseHeaders;
  /** True where a host that the registry redirected to refused: the registry itself had agreed. */
  readonly redirected: boolean;
}

export interface Unreachable {
  readonly ok: false;
  readonly kind: 'unreachable';
  /** An answer that breaks the rules is a cause of its own kind: it is no outage. */
  readonly cause: UpstreamUnreachableError | UpstreamProtocolError;
  readonly status?: number;
  readonly retryAfterSeconds?: number;
}

export type HeadResult = Delivered | Refused | Unreachable;
export type GetResult = DeliveredBody | Refused | Unreachable;

/** A tags list or referrers answer, whole. */
interface Listing {
  readonly ok: true;
  readonly status: number;
  readonly mediaType?: string;
  /** Link header (RFC 8288) as it came: the next page. */
  readonly link?: string;
  readonly headers: ResponseHeaders;
  readonly body: Buffer;
}

export type ListingResult = Listing | Refused | Unreachable;

/** @throws UpstreamProtocolError where the headers contradict each other */
export function delivered(answer: TransportAnswer): DeliveredBody {
  const { status, headers, body, firstHeaders } = answer;
  if (status !== 200 && status !== 206) throw fault(answer, `answered ${status}`);
  const range = status === 206 ? rangeOf(answer) : undefined;
  const size = range === undefined ? contentLength(headers) : range.size;
  const digest =
    headerValue(firstHeaders, 'docker-content-digest') ?? headerValue(headers, 'docker-content-digest');
  const mediaType = headerValue(headers, 'content-type');
  const etag = headerValue(headers, 'etag');
  return {
    ok: true,
    status,
    headers,
    body,
    ...(range !== undefined && { range }),
    ...(size !== undefined && { size }),
    ...(digest !== undefined && isDigest(digest) && { digest }),
    ...(mediaType !== undefined && { mediaType }),
    ...(etag !== undefined && { etag }),
  };
}

/** What a 404 without a code of the registry's own means, by what was asked for. */
const NOT_FOUND = {
  blob: 'BLOB_UNKNOWN',
  manifest: 'MANIFEST_UNKNOWN',
  list: 'NAME_UNKNOWN',
  token: 'NAME_UNKNOWN',
} as const;

/** Reads the refusal's body, to its cap. */
export async function refused(
  { status, headers, body, redirected }: TransportAnswer,
  purpose: Purpose,
): Promise<Refused> {
  const bytes = await readErrorBody(body, ERROR_BODY_LIMIT, ERROR_BODY_TIMEOUT_MS);
  const told = parseOciErrors(bytes);
  return {
    ok: false,
    kind: 'refused',
    status,
    challenges: redirected ? [] : headerValues(headers, 'www-authenticate'),
    errors: told.length > 0 ? told : [plainError(status, purpose)],
    body: bytes,
    headers,
    redirected,
  };
}

function plainError(status: number, purpose: Purpose): OciErrorEntry {
  const codes: Record<number, string> = { 401: 'UNAUTHORIZED', 403: 'DENIED', 404: NOT_FOUND[purpose] };
  return { code: codes[status] ?? 'UNKNOWN', message: `the upstream registry answered ${status}` };
}

/** A failure of the transport as a result; what is none is thrown on. */
export function failed(error: unknown): Unreachable {
  if (error instanceof UpstreamProtocolError) return { ok: false, kind: 'unreachable', cause: error };
  if (!(error instanceof UpstreamUnreachableError)) throw error;
  const { status, retryAfterSeconds } = error;
  return {
    ok: false,
    kind: 'unreachable',
    cause: error,
    ...(status !== undefined && { status }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  };
}

/** The error that goes with a result that is none to go on with. */
export function resultError(registry: string, result: Refused | Unreachable): Error {
  return result.kind === 'refused' ? new UpstreamRefusedError(registry, result) : result.cause;
}

/** Content-Length (RFC 9110, 8.6) where it is a number that can be counted to. */
function contentLength(headers: ResponseHeaders): number | undefined {
  const text = headerValue(headers, 'content-length') ?? '';
  const length = /^\d{1,16}$/u.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(length) ? length : undefined;
}

function rangeOf(answer: TransportAnswer): ContentRange & { kind: 'range' } {
  const header = headerValue(answer.headers, 'content-range');
  if (header === undefined) throw fault(answer, 'answered 206 without a Content-Range');
  try {
    const range = parseContentRange(header);
    if (range.kind === 'range') return range;
  } catch (error) {
    if (!(error instanceof ContentRangeError)) throw error;
    throw fault(answer, error.message);
  }
  throw fault(answer, 'answered 206 with an unsatisfied Content-Range');
}

/** Cuts the body off and says what was wrong with the answer. */
function fault({ url, body }: TransportAnswer, what: string): UpstreamProtocolError {
  body.cancel();
  return new UpstreamProtocolError(`${url.host} ${what}`);
}

import type { Digest } from '#registry/digest.ts';
import type { ByteRange } from '#registry/range.ts';

/** A manifest by tag or digest, or a blob (OCI distribution specification 1.1, "Endpoints": end-2 and end-3). */
export type Content =
  | { readonly kind: 'manifest'; readonly reference: string }
  | { readonly kind: 'blob'; readonly digest: Digest };

/** What is passed through (end-8 and end-12). */
export type List = { readonly kind: 'referrers'; readonly digest: Digest } | { readonly kind: 'tags' };

/** Who asks, and where: the credential counts for that repository of that registry alone. */
export interface Caller {
  readonly registry: string;
  readonly repository: string;
  /** The Authorization header as the runtime sent it. */
  readonly authorization?: string | undefined;
}

/** A manifest or blob that someone asks for. */
export interface UpstreamRequest {
  readonly caller: Caller;
  readonly resource: Content;
  readonly accept?: string | undefined;
  readonly range?: ByteRange | undefined;
}

export interface ListRequest {
  readonly caller: Caller;
  readonly resource: List;
  /** Without the question mark. */
  readonly query: string;
}

/** A registry's refusal as it is relayed to the runtime. */
export interface Refusal {
  readonly status: number;
  readonly challenges: readonly string[];
  /** In the OCI error format, JSON. */
  readonly body: string;
}

export type UpstreamFailure =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'throttled'; readonly retryAfter?: string | undefined }
  /** Connect failure, time-out or 5xx. */
  | { readonly kind: 'unreachable'; readonly cause: Error }
  /** An answer that breaks the protocol: no outage, so nothing earlier stands in for it. */
  | { readonly kind: 'broken'; readonly cause: Error };

/** What the headers of an answer say. */
export interface Told {
  /** 200, or 206 where a range was asked and given. */
  readonly status: number;
  /** Bytes of the whole. */
  readonly size?: number | undefined;
  /** Docker-Content-Digest; to be verified. */
  readonly digest?: Digest | undefined;
  readonly mediaType?: string | undefined;
  /** What the body of a 206 holds. */
  readonly range?: (ByteRange & { readonly size?: number }) | undefined;
}

export type HeadAnswer = { readonly kind: 'ok'; readonly told: Told } | UpstreamFailure;

export type GetAnswer =
  | { readonly kind: 'ok'; readonly told: Told; readonly body: AsyncIterable<Uint8Array> }
  | UpstreamFailure;

export type ListAnswer =
  | {
      readonly kind: 'ok';
      readonly mediaType: string | undefined;
      /** Link header (RFC 8288): the next page. */
      readonly link: string | undefined;
      readonly filters: string | undefined /* OCI-Filters-Applied */;
      readonly body: Uint8Array;
    }
  | UpstreamFailure;

/** The registry itself, asked with the caller's own credential. Tells what happened; throws only when aborted. */
export interface Upstream {
  head(request: UpstreamRequest, signal: AbortSignal): Promise<HeadAnswer>;
  /** The body is read to its end, left by `break`, or the signal aborted. It throws what broke it. */
  get(request: UpstreamRequest, signal: AbortSignal): Promise<GetAnswer>;
  list(request: ListRequest, signal: AbortSignal): Promise<ListAnswer>;
}

/** A registry answered something that breaks the protocol or a bound. */
export class UpstreamAnswerError extends Error {
  override readonly name = 'UpstreamAnswerError';
}

/** The registry's own bytes, read from it just now, are not those that the digest names. */
export class WrongContentError extends Error {
  override readonly name = 'WrongContentError';
  readonly digest: Digest;

  constructor(digest: Digest) {
    super(`upstream's bytes are not those of ${digest}`);
    this.digest = digest;
  }
}

/**
 * Reads a body into memory.
 * @throws UpstreamAnswerError when it has more than `limit` bytes
 */
export async function readWhole(body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > limit) throw new UpstreamAnswerError(`the answer is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

import type { ByteRange } from '#registry/range.ts';
import type { Verdict } from '#agent/rights/verdicts.ts';
import type { Refusal, UpstreamFailure } from '#agent/upstream.ts';
import type { CountBytes } from './swarm.ts';

/** Why a caller gets nothing. */
export type Denied =
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'throttled'; readonly retryAfter?: string | undefined }
  | { readonly kind: 'unavailable'; readonly cause: Error };

/** Content that a caller may read, and how to read it. To be disposed of when the last byte was handed on. */
export interface Granted extends AsyncDisposable {
  readonly kind: 'granted';
  /** In bytes. */
  readonly size: number;
  /** The bytes of a range in order; ends with an error where they cannot be vouched for. */
  open(range: ByteRange, signal: AbortSignal, count: CountBytes): AsyncIterable<Buffer>;
}

export type Access = Granted | Denied;

/** What a verdict that is not positive means for the caller. */
export function deniedBy(verdict: Exclude<Verdict, { outcome: 'positive' }>): Denied {
  switch (verdict.outcome) {
    case 'refused':
      return { kind: 'refused', refusal: verdict.refusal };
    case 'throttled':
      return { kind: 'throttled', retryAfter: verdict.retryAfter };
    default:
      return { kind: 'unavailable', cause: verdict.cause };
  }
}

export function deniedByFailure(failure: UpstreamFailure): Denied {
  switch (failure.kind) {
    case 'refused':
      return failure;
    case 'throttled':
      return failure;
    default:
      return { kind: 'unavailable', cause: failure.cause };
  }
}

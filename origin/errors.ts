import { UpstreamProtocolError, UpstreamUnreachableError } from '#registry/upstream-error.ts';

/** The registry answered, but its bytes are not those that the digest names, or not those that it had proved to have. */
export class WrongContentError extends Error {
  override readonly name = 'WrongContentError';
}

/** This origin cannot take on more, or has no room; another may. */
export class OriginBusyError extends Error {
  override readonly name = 'OriginBusyError';
}

/** A read was stopped because nobody waits for it any more. */
export class NobodyWaitsError extends Error {
  override readonly name = 'NobodyWaitsError';
}

/** Nothing is said of what is asked for ahead: whoever wants it asks for himself. */
export class AheadError extends Error {
  override readonly name = 'AheadError';
}

/** Upstream sends more slowly than `minimumRate`: another request, in another's name, may fare better. */
export class SlowUpstreamError extends Error {
  override readonly name = 'SlowUpstreamError';
}

/** True where it is the registry, not this origin, that has no usable answer. */
export function isUpstreamsFault(
  error: unknown,
): error is UpstreamUnreachableError | UpstreamProtocolError | WrongContentError {
  return (
    error instanceof UpstreamUnreachableError ||
    error instanceof UpstreamProtocolError ||
    error instanceof WrongContentError
  );
}

import { OciError, ociErrorBody } from '#registry/oci-error.ts';
import { SELF_TEST } from '#registry/self-test.ts';
import { UpstreamRefusedError, UpstreamUnreachableError } from '#registry/upstream-error.ts';
import type { ErrorAnswer } from '#service/http-error.ts';
import { TooManyTorrentsError } from '#swarm/session/errors.ts';
import { StoreFullError } from '#swarm/store/errors.ts';
import { AheadError, isUpstreamsFault, OriginBusyError } from '#origin/errors.ts';

/**
 * What an agent is told of an error. `Shoal-Upstream: refused` goes with upstream's own refusal, `unreachable` where
 * upstream has no usable answer; without it, it is this origin that cannot help, and another may.
 */
export function answerOriginError(error: unknown): ErrorAnswer | undefined {
  if (error instanceof UpstreamRefusedError) return refusal(error);
  if (isUpstreamsFault(error)) return unreachable(error);
  if (error instanceof AheadError)
    return { status: 413, body: ociErrorBody(new OciError('UNSUPPORTED', error.message)) };
  const isBusy =
    error instanceof OriginBusyError ||
    error instanceof TooManyTorrentsError ||
    error instanceof StoreFullError;
  if (!isBusy) return undefined;
  const shown = new OciError('UNAVAILABLE', error.message);
  return { status: 503, headers: { 'retry-after': '1' }, body: ociErrorBody(shown) };
}

function refusal({ status, challenges, errors }: UpstreamRefusedError): ErrorAnswer {
  return {
    status,
    headers: {
      'shoal-upstream': 'refused',
      ...(challenges.length > 0 && { 'www-authenticate': challenges }),
    },
    body: { errors },
  };
}

/** The messages of these errors are made by Shoal's own parts, which keep credentials out. */
function unreachable(error: Error): ErrorAnswer {
  const isOutage = error instanceof UpstreamUnreachableError;
  const retryAfter = isOutage ? error.retryAfterSeconds : undefined;
  return {
    status: isOutage ? 503 : 502,
    headers: {
      'shoal-upstream': 'unreachable',
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
    },
    body: ociErrorBody(new OciError('UNAVAILABLE', error.message)),
    // The self-test image, which is about to be made: agents that start at the same moment ask again.
    ...(isOutage && error.host === SELF_TEST.registry && { level: 'debug' }),
  };
}

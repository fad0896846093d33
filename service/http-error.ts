import { OciError, ociErrorBody } from '#registry/oci-error.ts';

/** What a caller is told of an error. A string or bytes as `body` is sent as it is, anything else as JSON. */
export interface ErrorAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body: unknown;
  /** How loudly a 5xx is logged; `warn` by default. */
  readonly level?: 'debug';
}

/** A part's own errors made public; undefined: not one of them. */
export type ErrorMap = (error: unknown) => ErrorAnswer | undefined;

/**
 * Turns any error into an answer in the OCI error format (OCI distribution specification 1.1, "Error Codes").
 * An {@link OciError} is told as it is; of an error that nobody made public only "internal error" is told.
 */
export function answerError(error: unknown, own?: ErrorMap): ErrorAnswer {
  const mapped = own?.(error);
  if (mapped) return mapped;
  const known = error instanceof OciError ? error : frameworkError(error);
  const shown = known ?? new OciError('UNKNOWN', 'internal error');
  return {
    status: shown.status,
    ...(shown.headers && { headers: shown.headers }),
    body: ociErrorBody(shown),
  };
}

/** Fastify's own refusals (bad URL, body too large, schema) carry a 4xx status and a message about the request alone. */
function frameworkError(error: unknown): OciError | undefined {
  if (!(error instanceof Error)) return undefined;
  const code: unknown = 'code' in error ? error.code : undefined;
  const statusCode: unknown = 'statusCode' in error ? error.statusCode : undefined;
  if (typeof code !== 'string' || !code.startsWith('FST_')) return undefined;
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode > 499) return undefined;
  const cause = statusCode === 413 ? 'SIZE_INVALID' : 'UNSUPPORTED';
  return new OciError(cause, error.message, { status: statusCode, cause: error });
}

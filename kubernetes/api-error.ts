import { isJsonObject } from '#registry/json-object.ts';

/** Kubernetes' answer was no. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status, also of errors that come in a watch. */
  readonly status: number;
  /** Kubernetes' word for it, such as `Expired` or `Conflict`; empty where there is none. */
  readonly reason: string;

  constructor(
    what: string,
    { status, reason, message }: { status: number; reason: string; message: string },
  ) {
    super(`${what}: ${status} ${reason} ${message}`.trim());
    this.status = status;
    this.reason = reason;
  }

  /** What a watch was to go on from is not kept any more (410): the collection is to be read anew. */
  get isExpired(): boolean {
    return this.status === 410;
  }

  /** Another writer was quicker (409), or what was to be created is there. */
  get isConflict(): boolean {
    return this.status === 409;
  }

  get isMissing(): boolean {
    return this.status === 404;
  }

  get isForbidden(): boolean {
    return this.status === 403 || this.status === 401;
  }
}

const MESSAGE_CHARACTERS = 500;

/** The error that a `Status` object (API conventions, "Response Status Kind") tells of, however malformed. */
export function errorOfStatus(what: string, status: unknown, httpStatus: number): ApiError {
  const told = isJsonObject(status) ? status : {};
  const { code, reason, message } = told;
  return new ApiError(what, {
    status: typeof code === 'number' ? code : httpStatus,
    reason: typeof reason === 'string' ? reason.slice(0, 64) : '',
    message: typeof message === 'string' ? message.slice(0, MESSAGE_CHARACTERS) : '',
  });
}

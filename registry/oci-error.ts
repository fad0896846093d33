import { isJsonObject } from './json-object.ts';

/** Error codes of the OCI distribution specification 1.1, "Error Codes", with docker's additions, and the status each goes with. */
const STATUS_OF_CODE = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  // Docker's registry, errcode package.
  TAG_INVALID: 400,
  RANGE_INVALID: 416,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
} as const;

export type OciErrorCode = keyof typeof STATUS_OF_CODE;

/** One entry of an OCI error body. The code may be any text when it comes from a remote. */
export interface OciErrorEntry {
  readonly code: string;
  readonly message?: string;
  readonly detail?: unknown;
}

export interface OciErrorOptions extends ErrorOptions {
  /** HTTP status; by default the one that goes with the code. */
  readonly status?: number;
  /** Unstructured data for the client, as the specification allows. */
  readonly detail?: unknown;
  /** Headers that belong to the answer. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

/** An error that may be shown to a registry client as it is. */
export class OciError extends Error {
  override readonly name = 'OciError';
  readonly code: OciErrorCode;
  readonly status: number;
  readonly detail?: unknown;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;

  constructor(code: OciErrorCode, message: string, options: OciErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.status = options.status ?? STATUS_OF_CODE[code];
    if (options.detail !== undefined) this.detail = options.detail;
    if (options.headers !== undefined) this.headers = options.headers;
  }
}

/** UNAUTHORIZED with the upstream's WWW-Authenticate values, each relayed as it came. */
export function unauthorized(
  challenges: readonly string[],
  message = 'the upstream registry asks for authentication',
): OciError {
  return new OciError('UNAUTHORIZED', message, {
    ...(challenges.length > 0 && { headers: { 'www-authenticate': challenges } }),
  });
}

/** The JSON body of an error answer. */
export function ociErrorBody(error: OciError): { errors: [OciErrorEntry] } {
  const { code, message, detail } = error;
  return { errors: [detail === undefined ? { code, message } : { code, message, detail }] };
}

const ENTRY_LIMIT = 16;
const TEXT_LIMIT = 1024;

/**
 * The entries of a remote's error body; none where it is not in the OCI error format. At most 16 entries,
 * texts cut at 1024 characters. Never throws.
 */
export function parseOciErrors(body: Uint8Array): OciErrorEntry[] {
  const errors = parseMembers(body)['errors'];
  if (!Array.isArray(errors)) return [];
  return errors.slice(0, ENTRY_LIMIT).flatMap((entry: unknown) => parseEntry(entry));
}

function parseEntry(entry: unknown): OciErrorEntry[] {
  if (!isJsonObject(entry)) return [];
  const { code, message, detail } = entry;
  if (typeof code !== 'string') return [];
  return [
    {
      code: code.slice(0, TEXT_LIMIT),
      ...(typeof message === 'string' && { message: message.slice(0, TEXT_LIMIT) }),
      ...(detail !== undefined && detail !== null && { detail }),
    },
  ];
}

function parseMembers(body: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

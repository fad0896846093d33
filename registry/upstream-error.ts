import type { OciErrorEntry } from './oci-error.ts';
import { redactText } from './redact.ts';

/** The upstream said no: a 4xx that another attempt would not change. */
export class UpstreamRefusedError extends Error {
  override readonly name = 'UpstreamRefusedError';
  readonly status: number;
  /** WWW-Authenticate values as the registry sent them; none where a host that it redirected to refused. */
  readonly challenges: readonly string[];
  readonly errors: readonly OciErrorEntry[];

  constructor(
    host: string,
    refusal: { status: number; challenges: readonly string[]; errors: readonly OciErrorEntry[] },
  ) {
    const first = refusal.errors[0];
    const told = first === undefined ? '' : `: ${redactText(`${first.code} ${first.message ?? ''}`)}`;
    super(`${host} answered ${refusal.status}${told}`);
    this.status = refusal.status;
    this.challenges = refusal.challenges;
    this.errors = refusal.errors;
  }
}

export interface UnreachableOptions extends ErrorOptions {
  /** The status where there was an answer at all: a 5xx, 408, 425 or 429. */
  readonly status?: number;
  /** The host that was asked. */
  readonly host?: string;
  readonly retryAfterSeconds?: number;
  /** False where another attempt would fail the same way: a certificate that is not trusted, a name that does not exist. */
  readonly temporary?: boolean;
}

/** No answer from the upstream, or one that says it cannot answer now, after all attempts. */
export class UpstreamUnreachableError extends Error {
  override readonly name = 'UpstreamUnreachableError';
  readonly status?: number;
  readonly host?: string;
  readonly retryAfterSeconds?: number;
  readonly temporary: boolean;

  constructor(message: string, options: UnreachableOptions = {}) {
    super(message, options);
    this.temporary = options.temporary ?? true;
    if (options.status !== undefined) this.status = options.status;
    if (options.host !== undefined) this.host = options.host;
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** The upstream's answer breaks HTTP's or OCI's rules, or one of ours: a downgrade to plain HTTP, an encoded body. */
export class UpstreamProtocolError extends Error {
  override readonly name = 'UpstreamProtocolError';
  /** The host that would have to be asked over plain HTTP, where that is what is wrong. */
  readonly plainHost?: string;

  constructor(message: string, options: ErrorOptions & { readonly plainHost?: string } = {}) {
    super(message, options);
    if (options.plainHost !== undefined) this.plainHost = options.plainHost;
  }
}

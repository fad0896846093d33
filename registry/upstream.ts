import { BlobRead, type BlobReadOptions } from './blob-read.ts';
import { ChallengeAnswerer } from './challenge-answerer.ts';
import { LIST_BODY_LIMIT } from './defaults.ts';
import { parseDigest } from './digest.ts';
import { headerValue, headerValues } from './exchange.ts';
import type { Hosts } from './hosts.ts';
import { MANIFEST_ACCEPT } from './media-types.ts';
import { parseRegistryHost, parseRepository, parseTag } from './reference.ts';
import { BodyTooLongError, readBody } from './response-body.ts';
import { SELF_TEST } from './self-test.ts';
import { TokenSource } from './token-source.ts';
import {
  discard,
  type Purpose,
  Transport,
  type TransportAnswer,
  type TransportOptions,
} from './transport.ts';
import {
  type Authorization,
  type Delivered,
  delivered,
  failed,
  type GetResult,
  type HeadResult,
  type ListingResult,
  type RepositoryName,
  type Refused,
  refused,
  type Target,
} from './upstream-answer.ts';
import { UpstreamProtocolError, UpstreamUnreachableError } from './upstream-error.ts';

export interface UpstreamOptions extends TransportOptions {
  readonly resumeAttempts?: number;
  readonly resumePatienceMs?: number;
  readonly tokenCacheEntries?: number;
  /** Longest tags list or referrers answer, in bytes. */
  readonly listBodyLimit?: number;
}

export interface GetOptions {
  /** A Range header, such as `formatRange` makes. */
  readonly range?: string;
  /** An Accept header; for a manifest the default is all types that Shoal knows. */
  readonly accept?: string;
  /** Requests for this call, instead of the option `attempts`. */
  readonly attempts?: number;
}

interface Asked extends RepositoryName {
  readonly purpose: Purpose;
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly attempts?: number;
}

/** Registries as a client sees them (OCI distribution specification 1.1, pull and discovery). */
export class Upstream implements AsyncDisposable {
  readonly #hosts: Hosts;
  readonly #options: UpstreamOptions;
  readonly #transport: Transport;
  readonly #tokens: TokenSource;
  /** For who asks in several names: `own` credentials of a call go through it. */
  readonly answerer: ChallengeAnswerer;

  /** Uses the hosts' connections, which stay open until their owner closes them. */
  constructor(parts: { hosts: Hosts }, options: UpstreamOptions = {}) {
    this.#hosts = parts.hosts;
    this.#options = options;
    this.#transport = new Transport(parts, options);
    this.#tokens = new TokenSource({ transport: this.#transport }, options);
    this.answerer = new ChallengeAnswerer({ tokens: this.#tokens });
  }

  /**
   * HEAD of a manifest or blob. A blob store may refuse a HEAD of what it would deliver (a presigned URL is
   * signed for GET); then a GET of the first byte decides.
   * @throws ReferenceError, DigestError for a malformed target; the signal's reason
   */
  async head(
    target: Target,
    auth: Authorization,
    signal: AbortSignal,
    options: GetOptions = {},
  ): Promise<HeadResult> {
    const asked = this.#asked(target, 'HEAD', options);
    const result = headOf(await this.#deliver(asked, auth, signal));
    const unsure = !result.ok && result.kind === 'refused' && result.redirected && result.status !== 404;
    return unsure && target.kind === 'blob' ? this.#probe(target, auth, signal, options) : result;
  }

  /**
   * GET of a manifest or blob; the result's body is read to its end or cancelled.
   * @throws ReferenceError, DigestError for a malformed target; the signal's reason
   */
  async get(
    target: Target,
    auth: Authorization,
    signal: AbortSignal,
    options: GetOptions = {},
  ): Promise<GetResult> {
    return this.#deliver(this.#asked(target, 'GET', options), auth, signal);
  }

  /** Reads a blob, or a range of it, through broken connections. Nothing is sent before its `open` or iteration. */
  readBlob(
    target: Omit<Target, 'kind'>,
    auth: Authorization,
    signal: AbortSignal,
    options: BlobReadOptions = {},
  ): BlobRead {
    const { resumeAttempts, resumePatienceMs } = this.#options;
    const { backoff } = this.#transport;
    return new BlobRead({ upstream: this }, { ...target, kind: 'blob' }, auth, signal, {
      backoff,
      now: () => this.#transport.now(),
      ...(resumeAttempts !== undefined && { resumeAttempts }),
      ...(resumePatienceMs !== undefined && { resumePatienceMs }),
      ...options,
    });
  }

  /**
   * Referrers of a digest, as they come. `query` is the caller's query string, without a question mark.
   * @throws ReferenceError, DigestError for a malformed name or digest; the signal's reason
   */
  async referrers(
    name: RepositoryName,
    digest: string,
    auth: Authorization,
    signal: AbortSignal,
    query = '',
  ): Promise<ListingResult> {
    return this.#list(name, `referrers/${parseDigest(digest)}`, query, auth, signal);
  }

  /** Tags of a repository, as they come. @throws ReferenceError for a malformed name; the signal's reason */
  async tags(
    name: RepositoryName,
    auth: Authorization,
    signal: AbortSignal,
    query = '',
  ): Promise<ListingResult> {
    return this.#list(name, 'tags/list', query, auth, signal);
  }

  /** Ends token exchanges under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tokens[Symbol.asyncDispose]();
  }

  async #deliver(asked: Asked, auth: Authorization, signal: AbortSignal): Promise<GetResult> {
    if (asked.registry === SELF_TEST.registry) return failed(notOnTheNetwork(asked.registry));
    try {
      const answer = await this.#authorized(asked, auth, signal);
      return answer.status >= 400 ? await refused(answer, asked.purpose) : delivered(answer);
    } catch (error) {
      return failed(error);
    }
  }

  async #probe(
    target: Target,
    auth: Authorization,
    signal: AbortSignal,
    options: GetOptions,
  ): Promise<HeadResult> {
    const result = headOf(await this.get(target, auth, signal, { ...options, range: 'bytes=0-0' }));
    if (result.ok) return { ...result, status: 200 };
    // An empty blob has no first byte.
    return result.kind === 'refused' && result.status === 416 ? (emptyBlob(result) ?? result) : result;
  }

  async #list(
    name: RepositoryName,
    path: string,
    query: string,
    auth: Authorization,
    signal: AbortSignal,
  ): Promise<ListingResult> {
    const url = this.#url(name, path);
    url.search = new URLSearchParams(query).toString();
    const headers = { accept: 'application/json, application/vnd.oci.image.index.v1+json, */*' };
    const asked: Asked = { ...name, purpose: 'list', method: 'GET', url, headers };
    try {
      const answer = await this.#authorized(asked, auth, signal);
      return answer.status >= 400 ? await refused(answer, asked.purpose) : await this.#listing(answer);
    } catch (error) {
      signal.throwIfAborted();
      return failed(error);
    }
  }

  async #listing(answer: TransportAnswer): Promise<ListingResult> {
    const { status, headers } = answer;
    const mediaType = headerValue(headers, 'content-type');
    const link = headerValue(headers, 'link');
    const told = { ...(mediaType !== undefined && { mediaType }), ...(link !== undefined && { link }) };
    try {
      const body = await readBody(answer.body, this.#options.listBodyLimit ?? LIST_BODY_LIMIT);
      return { ok: true, status, headers, body, ...told };
    } catch (cause) {
      if (!(cause instanceof BodyTooLongError)) throw cause;
      throw new UpstreamProtocolError(`${answer.url.host}: ${cause.message}`, { cause });
    }
  }

  async #authorized(asked: Asked, auth: Authorization, signal: AbortSignal): Promise<TransportAnswer> {
    if (auth.kind === 'forward') return this.#send(asked, auth.authorization, signal);
    const credential = auth.credentials?.lookup(asked.registry);
    const scope = `repository:${asked.repository}:pull`;
    const wish = { registry: asked.registry, scope, ...(credential !== undefined && { credential }) };
    const authorization = await this.answerer.before(wish, signal);
    const answer = await this.#send(asked, authorization, signal);
    if (answer.status !== 401 || answer.redirected) return answer;
    const challenges = headerValues(answer.headers, 'www-authenticate');
    const next = await this.answerer.after(challenges, wish, authorization, signal);
    if (next === undefined) return answer;
    await discard(answer);
    return this.#send(asked, next, signal);
  }

  async #send(
    asked: Asked,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<TransportAnswer> {
    return this.#transport.send({ ...asked, ...(authorization !== undefined && { authorization }) }, signal);
  }

  #asked(target: Target, method: 'GET' | 'HEAD', options: GetOptions): Asked {
    const { registry, repository, kind, reference } = target;
    const byDigest = kind === 'blob' || reference.includes(':');
    const checked = byDigest ? parseDigest(reference) : parseTag(reference);
    const accept = options.accept ?? (kind === 'manifest' ? MANIFEST_ACCEPT : '*/*');
    return {
      registry,
      repository,
      purpose: kind,
      method,
      url: this.#url(target, `${kind}s/${checked}`),
      headers: { accept, ...(options.range !== undefined && { range: options.range }) },
      ...(options.attempts !== undefined && { attempts: options.attempts }),
    };
  }

  #url({ registry, repository }: RepositoryName, path: string): URL {
    const base = this.#hosts.endpoint(parseRegistryHost(registry));
    return new URL(`v2/${parseRepository(repository)}/${path}`, base);
  }
}

/** A name server may know the name all the same. */
function notOnTheNetwork(registry: string): UpstreamUnreachableError {
  return new UpstreamUnreachableError(`${registry} is nowhere but in origins`, {
    host: registry,
    temporary: false,
  });
}

/** The answer without its body; after a HEAD there is none to cancel. */
function headOf(result: GetResult): HeadResult {
  if (!result.ok) return result;
  const { body, ...head } = result;
  body.cancel();
  return head;
}

/** What a refused range (416) says of a blob that is empty. */
function emptyBlob({ headers }: Refused): Delivered | undefined {
  const contentRange = headerValue(headers, 'content-range');
  return contentRange !== undefined && /^bytes \*\/0$/iu.test(contentRange.trim())
    ? { ok: true, status: 200, size: 0, headers }
    : undefined;
}

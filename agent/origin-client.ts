import { asError } from '#registry/as-error.ts';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Dispatcher } from 'undici';
import { describeKeyMismatch } from '#swarm/announce/key-mismatch.ts';
import type { MemberList } from '#service/discovery/member-list.ts';
import { owners } from '#swarm/core/ring.ts';
import { LruMap } from '#service/lru-map.ts';
import { OriginHealth } from '#service/origin-health.ts';
import {
  ANONYMOUS_ANSWER_MS,
  ANONYMOUS_REPOSITORIES,
  ORIGIN_ANSWER_MS,
  ORIGIN_BODY_LIMIT,
} from './defaults.ts';
import { flowOf } from './limited-upstream.ts';
import { header, type OriginAnswer, readOriginAnswer } from './origin-answer.ts';
import type { DownloadLimit } from './pull/swarm.ts';
import { formatPlatform, hostPlatform } from '#registry/platform.ts';
import { type Caller, readWhole, type UpstreamRequest } from './upstream.ts';

/** What an origin that fetches a manifest looks ahead for. */
const PLATFORM = formatPlatform(hostPlatform());

export interface OriginClientParts {
  /** Connections that prove cluster membership. */
  readonly dispatcher: Dispatcher;
  /** Of all that the agent downloads. */
  readonly limit: Pick<DownloadLimit, 'passDownload'>;
  readonly now: () => number;
  readonly random: () => number;
  /** An origin did not answer, or answered nonsense. */
  readonly onFailure: (origin: string, error: Error) => void;
}

export interface OriginClientOptions {
  readonly origins: MemberList;
  readonly scheme: 'http' | 'https';
}

/** Asks the origins, the ring's owner of the digest first; the next when one is lost. */
export class OriginClient {
  readonly #parts: OriginClientParts;
  readonly #options: OriginClientOptions;
  readonly #health: OriginHealth;
  readonly #anonymous = new LruMap<string, { since: number | undefined; at: number }>(ANONYMOUS_REPOSITORIES);

  constructor(parts: OriginClientParts, options: OriginClientOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#health = new OriginHealth(parts.now, parts.random);
  }

  /** Some origin is believed to be there. */
  get isReachable(): boolean {
    return this.#options.origins.current.some((origin) => this.#health.isUsable(origin));
  }

  /** A manifest or blob; small content waits for its share of the limit. Throws only when aborted. */
  async fetch(request: UpstreamRequest, signal: AbortSignal): Promise<OriginAnswer> {
    const { caller } = request;
    const { path, key, digest } = placeOf(request);
    const headers = headersOf(request);
    const ask = async (origin: string, attempt: AbortSignal): Promise<OriginAnswer | undefined> => {
      const response = await this.#send('GET', origin, path, headers, attempt);
      this.#noteAnonymous(caller, header(response, 'shoal-anonymous'));
      return readOriginAnswer(response, digest);
    };
    const answer = await this.#inRingOrder(key, signal, ask, isKnowledge);
    if (answer?.kind === 'content')
      await this.#parts.limit.passDownload(flowOf(request), answer.bytes.length, signal);
    return answer ?? { kind: 'absent' };
  }

  /** Has an origin know what a tag stands for, by HEAD. @returns whether one does now. Throws only when aborted. */
  async noteTag(request: UpstreamRequest, signal: AbortSignal): Promise<boolean> {
    const { path, key } = placeOf(request);
    const status = await this.#inRingOrder(key, signal, async (origin, attempt) => {
      const response = await this.#send('HEAD', origin, path, headersOf(request), attempt);
      this.#noteAnonymous(request.caller, header(response, 'shoal-anonymous'));
      await response.body.dump();
      return response.statusCode;
    });
    return status === 200;
  }

  /** When the repository was last served to someone without credentials, in ms since the epoch; undefined where no origin knows. */
  async anonymous(registry: string, repository: string, signal: AbortSignal): Promise<number | undefined> {
    const key = `${registry}/${repository}`;
    const known = this.#anonymous.get(key);
    if (known !== undefined && this.#parts.now() - known.at < ANONYMOUS_ANSWER_MS) return known.since;
    const query = new URLSearchParams({ registry, repository }).toString();
    const told = await this.#inRingOrder(key, signal, async (origin, attempt) => {
      const response = await this.#send('GET', origin, `/v1/anonymous?${query}`, {}, attempt);
      const body = await readWhole(response.body, ORIGIN_BODY_LIMIT);
      if (response.statusCode !== 200 && response.statusCode !== 404) return undefined;
      return { since: response.statusCode === 200 ? parseSince(body) : undefined };
    });
    const since = told === undefined ? known?.since : told.since;
    this.#anonymous.set(key, { since, at: this.#parts.now() });
    return since;
  }

  /**
   * Asks one origin after another until one gives an answer.
   * @param isEnough whether the owner's answer ends the search; where it does not, the next one's does, and the owner's stands if that gives none
   */
  async #inRingOrder<T>(
    key: string,
    signal: AbortSignal,
    ask: (origin: string, signal: AbortSignal) => Promise<T | undefined>,
    isEnough: (answer: T) => boolean = () => true,
  ): Promise<T | undefined> {
    const order = owners(key, this.#options.origins.current).filter((origin) =>
      this.#health.isUsable(origin),
    );
    let first: T | undefined;
    for (const origin of order) {
      signal.throwIfAborted();
      const attempt = AbortSignal.any([signal, AbortSignal.timeout(ORIGIN_ANSWER_MS)]);
      try {
        const answer = await ask(origin, attempt);
        if (answer !== undefined) {
          this.#health.succeeded(origin);
          if (first !== undefined || isEnough(answer)) return answer;
          first = answer;
          continue;
        }
        this.#lost(origin, new Error('the origin is out of order'));
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        const mismatch = describeKeyMismatch(error);
        this.#lost(origin, mismatch === undefined ? asError(error) : new Error(mismatch, { cause: error }));
      }
    }
    return first;
  }

  #lost(origin: string, error: Error): void {
    this.#health.failed(origin);
    this.#parts.onFailure(origin, error);
  }

  #send(
    method: 'GET' | 'HEAD',
    origin: string,
    path: string,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const { dispatcher } = this.#parts;
    return dispatcher.request({
      origin: `${this.#options.scheme}://${origin}`,
      path,
      method,
      headers,
      signal,
    });
  }

  #noteAnonymous({ registry, repository }: Caller, seconds: string | undefined): void {
    if (seconds === undefined || !/^\d{1,11}$/u.test(seconds)) return;
    this.#anonymous.set(`${registry}/${repository}`, {
      since: Number(seconds) * 1000,
      at: this.#parts.now(),
    });
  }
}

/**
 * While the owner was away the next one in order has answered for it, and been told of tags: what upstream cannot be asked for now, that one may know.
 */
function isKnowledge({ kind }: OriginAnswer): boolean {
  return kind !== 'unreachable';
}

const Since = Compile(Type.Object({ since: Type.Number({ minimum: 0 }) }));

function headersOf({ caller, accept, resource }: UpstreamRequest): Record<string, string> {
  return {
    ...(caller.authorization !== undefined && { 'shoal-authorization': caller.authorization }),
    ...(accept !== undefined && { accept }),
    ...(resource.kind === 'manifest' && { 'shoal-platform': PLATFORM }),
  };
}

interface Place {
  readonly path: string;
  /** What the ring is asked for: the digest, or the tag in full. */
  readonly key: string;
  readonly digest: string | undefined;
}

function placeOf({ caller: { registry, repository }, resource }: UpstreamRequest): Place {
  const query = `?ns=${encodeURIComponent(registry)}`;
  if (resource.kind === 'blob') {
    const { digest } = resource;
    return { path: `/v2/${repository}/blobs/${digest}${query}`, key: digest, digest };
  }
  const { reference } = resource;
  const path = `/v2/${repository}/manifests/${reference}${query}`;
  if (reference.includes(':')) return { path, key: reference, digest: reference };
  return { path, key: `${registry}/${repository}:${reference}`, digest: undefined };
}

function parseSince(body: Buffer): number | undefined {
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return Since.Check(answer) ? answer.since * 1000 : undefined;
  } catch {
    return undefined;
  }
}

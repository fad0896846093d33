import { asError } from '#registry/as-error.ts';
import type { Upstream as Registries } from '#registry/upstream.ts';
import type { Authorization, Delivered, Refused, Target, Unreachable } from '#registry/upstream-answer.ts';
import { formatRange } from '#registry/range.ts';
import { UpstreamProtocolError } from '#registry/upstream-error.ts';
import type {
  Caller,
  GetAnswer,
  HeadAnswer,
  ListAnswer,
  ListRequest,
  Refusal,
  Told,
  Upstream,
  UpstreamFailure,
  UpstreamRequest,
} from './upstream.ts';

/** Requests, and milliseconds, that a HEAD may take: the runtime waits for it. */
const HEAD_ATTEMPTS = 2;
const HEAD_TIMEOUT_MS = 15_000;

/** The registries as the agent needs them: every call in the caller's name, every failure by what it means for the caller. */
export class UpstreamClient implements Upstream {
  readonly #registries: Registries;

  constructor(registries: Registries) {
    this.#registries = registries;
  }

  async head(request: UpstreamRequest, signal: AbortSignal): Promise<HeadAnswer> {
    const { accept, caller } = request;
    const options = { attempts: HEAD_ATTEMPTS, ...(accept !== undefined && { accept }) };
    const patience = AbortSignal.timeout(HEAD_TIMEOUT_MS);
    const waiting = AbortSignal.any([signal, patience]);
    try {
      const result = await this.#registries.head(targetOf(request), forward(caller), waiting, options);
      return result.ok ? { kind: 'ok', told: told(result) } : failure(result);
    } catch (error) {
      if (signal.aborted || !patience.aborted) throw error;
      return { kind: 'unreachable', cause: asError(error) };
    }
  }

  async get(request: UpstreamRequest, signal: AbortSignal): Promise<GetAnswer> {
    const { accept, range, caller } = request;
    const options = {
      ...(accept !== undefined && { accept }),
      ...(range !== undefined && { range: formatRange(range.start, range.end) }),
    };
    const result = await this.#registries.get(targetOf(request), forward(caller), signal, options);
    return result.ok ? { kind: 'ok', told: told(result), body: result.body } : failure(result);
  }

  async list({ caller, resource, query }: ListRequest, signal: AbortSignal): Promise<ListAnswer> {
    const auth = forward(caller);
    const result =
      resource.kind === 'tags'
        ? await this.#registries.tags(caller, auth, signal, query)
        : await this.#registries.referrers(caller, resource.digest, auth, signal, query);
    if (!result.ok) return failure(result);
    const { mediaType, link, body } = result;
    const filters = [result.headers['oci-filters-applied'] ?? []].flat()[0];
    return { kind: 'ok', mediaType, link, filters, body };
  }
}

function targetOf({ caller: { registry, repository }, resource }: UpstreamRequest): Target {
  const { kind } = resource;
  return { registry, repository, kind, reference: kind === 'blob' ? resource.digest : resource.reference };
}

function forward({ authorization }: Caller): Authorization {
  return { kind: 'forward', ...(authorization !== undefined && { authorization }) };
}

function told({ status, size, digest, mediaType, range }: Delivered): Told {
  return { status, size, digest, mediaType, range };
}

function failure(result: Refused | Unreachable): UpstreamFailure {
  if (result.kind === 'refused') return { kind: 'refused', refusal: refusalOf(result) };
  const { cause, status, retryAfterSeconds } = result;
  if (cause instanceof UpstreamProtocolError) return { kind: 'broken', cause };
  if (status !== 429) return { kind: 'unreachable', cause };
  return { kind: 'throttled', retryAfter: retryAfterSeconds?.toString() };
}

/** The errors are written anew: a body that is not in the OCI format is not relayed. */
function refusalOf({ status, challenges, errors }: Refused): Refusal {
  return { status, challenges, body: JSON.stringify({ errors }) };
}

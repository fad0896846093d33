import { asError } from '#registry/as-error.ts';
import { type Digest, digestAlgorithm, digestOf } from '#registry/digest.ts';
import { MANIFEST_LIMIT } from '#agent/defaults.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { KnownFacts } from '#agent/rights/known-facts.ts';
import {
  type Caller,
  readWhole,
  type Upstream,
  UpstreamAnswerError,
  type UpstreamRequest,
  WrongContentError,
} from '#agent/upstream.ts';
import { type Access, deniedByFailure, type Granted } from './access.ts';
import type { Swarm } from './swarm.ts';

export interface SmallContentParts {
  readonly known: KnownFacts;
  readonly swarm: Pick<Swarm, 'keep'>;
  readonly upstream: Pick<Upstream, 'get'>;
  readonly events: Pick<AgentEvents, 'notKept'>;
}

/** Where small content came from. */
export interface Provenance {
  readonly mediaType: string | undefined;
  readonly source: 'origin' | 'upstream';
}

/** Manifests and blobs that are read whole into memory: verified there, kept, and bound to who delivered them. */
export class SmallContent {
  readonly #parts: SmallContentParts;

  constructor(parts: SmallContentParts) {
    this.#parts = parts;
  }

  /** Reads it from the caller's registry. */
  async fetch(request: UpstreamRequest, digest: Digest, signal: AbortSignal): Promise<Access> {
    const answer = await this.#parts.upstream.get(request, signal);
    if (answer.kind !== 'ok') return deniedByFailure(answer);
    try {
      const bytes = await readWhole(answer.body, MANIFEST_LIMIT);
      return await this.take(request.caller, digest, bytes, {
        mediaType: answer.told.mediaType,
        source: 'upstream',
      });
    } catch (cause) {
      signal.throwIfAborted();
      return { kind: 'unavailable', cause: asError(cause) };
    }
  }

  /** Takes bytes that the registry delivered, itself or through an origin. */
  async take(
    caller: Caller,
    digest: Digest,
    bytes: Buffer,
    { mediaType, source }: Provenance,
  ): Promise<Access> {
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest)
      return { kind: 'unavailable', cause: wrongContent(digest, source) };
    await this.keep(caller, digest, bytes, mediaType);
    return inMemory(bytes, source);
  }

  /** Stores verified bytes, bound to the registry that delivered them, while they are already used. Without room it does not. */
  async keep(
    { registry, repository }: Caller,
    digest: Digest,
    bytes: Buffer,
    mediaType: string | undefined,
  ): Promise<void> {
    const { known, swarm, events } = this.#parts;
    const facts = {
      registries: [registry],
      repositories: [`${registry}/${repository}`],
      ...(mediaType !== undefined && { mediaType }),
    };
    await swarm.keep(digest, bytes, facts, (error) => events.notKept(digest, error));
    known.learnDelivered(digest, registry, repository, { mediaType, size: bytes.length });
  }
}

/** Of an origin, that says nothing of the registry. */
function wrongContent(digest: Digest, source: Provenance['source']): Error {
  if (source === 'upstream') return new WrongContentError(digest);
  return new UpstreamAnswerError(`the bytes that an origin delivered are not those of ${digest}`);
}

function inMemory(bytes: Buffer, source: 'origin' | 'upstream'): Granted {
  return {
    kind: 'granted',
    size: bytes.length,
    async *open({ start, end }, _signal, count) {
      const part = bytes.subarray(start, end + 1);
      if (part.length === 0) return;
      count(source, part.length);
      yield part;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

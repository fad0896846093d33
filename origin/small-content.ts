import { type Digest, digestAlgorithm, digestOf, isDigest } from '#registry/digest.ts';
import { BodyTooLongError, readBody } from '#registry/response-body.ts';
import type { Upstream } from '#registry/upstream.ts';
import { resultError } from '#registry/upstream-answer.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';
import type { Bandwidth } from '#swarm/session/bandwidth.ts';
import type { Engine } from '#swarm/session/engine.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { verifiedBytes } from '#swarm/store/verified-bytes.ts';
import { type Caller, fullName, inNameOf } from './caller.ts';
import { MANIFEST_LIMIT } from './defaults.ts';
import { WrongContentError } from './errors.ts';
import type { OriginEvents } from './events.ts';
import { type Merged, MergedWork } from './merged-work.ts';

/** A manifest or small blob, verified. */
export interface Content {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string | undefined;
}

export interface SmallContentParts {
  readonly upstream: Pick<Upstream, 'get'>;
  readonly store: Pick<BlobStore, 'open' | 'stat'>;
  /** Of all that is read from upstream. */
  readonly bandwidth: Pick<Bandwidth, 'passed'>;
  readonly engine: Pick<Engine, 'keep'>;
  readonly events: Pick<OriginEvents, 'notKept' | 'bytesRead'>;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/** Content that is read whole into memory: verified there, kept, and bound to who delivered it. */
export class SmallContent {
  readonly #parts: SmallContentParts;
  readonly #fetching = new MergedWork<Content>((error) => error instanceof UpstreamRefusedError);

  constructor(parts: SmallContentParts) {
    this.#parts = parts;
  }

  /** Of what is stored, the bytes. Whether the caller's registry delivered them is for the caller to know. */
  async stored(digest: Digest, signal: AbortSignal): Promise<Content | undefined> {
    const { store } = this.#parts;
    await using blob = await store.open(digest, signal);
    if (blob === undefined || blob.size > MANIFEST_LIMIT) return undefined;
    const bytes = await verifiedBytes(blob);
    return bytes && { digest, bytes, mediaType: store.stat(digest)?.facts.mediaType };
  }

  /**
   * Reads a manifest from the caller's registry; requests for the same one share a read while it runs.
   * @param reference tag or digest
   * @throws WrongContentError, UpstreamRefusedError, UpstreamUnreachableError, UpstreamProtocolError, the signal's reason
   */
  async manifest(
    caller: Caller,
    reference: string,
    accept: string | undefined,
    signal: AbortSignal,
  ): Promise<Merged<Content>> {
    const key = JSON.stringify([caller.registry, caller.repository, reference, accept]);
    return this.#fetching.run(key, caller.authorization ?? '', signal, () =>
      this.#get(caller, reference, accept),
    );
  }

  /**
   * Verifies bytes that the caller's registry delivered, and keeps them where there is room, while they are already used.
   * @throws WrongContentError
   */
  async take(caller: Caller, digest: Digest, bytes: Buffer, mediaType: string | undefined): Promise<Content> {
    const { engine, events } = this.#parts;
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest)
      throw new WrongContentError(`the bytes that ${caller.registry} delivered are not those of ${digest}`);
    const facts = {
      registries: [caller.registry],
      repositories: [fullName(caller)],
      ...(mediaType !== undefined && { mediaType }),
    };
    await engine.keep(digest, bytes, facts, (error) => events.notKept(digest, error));
    return { digest, bytes, mediaType };
  }

  async #get(caller: Caller, reference: string, accept: string | undefined): Promise<Content> {
    const { upstream, bandwidth, life, events } = this.#parts;
    const { registry, repository } = caller;
    const target = { registry, repository, kind: 'manifest', reference } as const;
    const options = accept === undefined ? {} : { accept };
    const result = await upstream.get(target, inNameOf(caller), life, options);
    if (!result.ok) throw resultError(registry, result);
    const bytes = await readManifest(result.body, registry);
    events.bytesRead(registry, bytes.length);
    await bandwidth.passed(reference, bytes.length, life);
    const digest = isDigest(reference) ? reference : (result.digest ?? digestOf(bytes));
    return this.take(caller, digest, bytes, result.mediaType);
  }
}

async function readManifest(body: Parameters<typeof readBody>[0], registry: string): Promise<Buffer> {
  try {
    return await readBody(body, MANIFEST_LIMIT);
  } catch (cause) {
    if (!(cause instanceof BodyTooLongError)) throw cause;
    throw new WrongContentError(`${registry}: a manifest of more than ${MANIFEST_LIMIT} bytes`, { cause });
  }
}

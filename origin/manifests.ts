import { type Digest, isDigest } from '#registry/digest.ts';
import type { Answer } from './answer.ts';
import type { Caller } from './caller.ts';
import type { OriginEvents } from './events.ts';
import type { Provenance } from './provenance.ts';
import type { Content, SmallContent } from './small-content.ts';
import type { Tags } from './tags.ts';

export interface ManifestsParts {
  readonly small: SmallContent;
  readonly tags: Tags;
  readonly provenance: Provenance;
  readonly events: Pick<OriginEvents, 'answered'>;
}

/** Manifests by tag and by digest: bytes that the caller's registry delivered under the caller's repository. */
export class Manifests {
  readonly #parts: ManifestsParts;

  constructor(parts: ManifestsParts) {
    this.#parts = parts;
  }

  /** Whether an answer needs nobody else. */
  isKnown(caller: Caller, reference: string, accept: string | undefined): boolean {
    return isDigest(reference)
      ? this.#isOurs(caller, reference)
      : this.#parts.tags.isFresh(caller, reference, accept);
  }

  /**
   * @param reference tag or digest
   * @throws UpstreamRefusedError, UpstreamUnreachableError, UpstreamProtocolError, WrongContentError, the signal's reason
   */
  async get(
    caller: Caller,
    reference: string,
    accept: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    if (isDigest(reference)) return this.#named(caller, reference, accept, signal);
    const { result, own } = await this.#parts.tags.resolve(caller, reference, accept, 'get', signal);
    if (result.content) return this.#answer(result.content, own);
    return { kind: 'named', digest: result.digest, positive: own };
  }

  /** The digest of a reference, without its content. @throws as `get` */
  async resolve(
    caller: Caller,
    reference: string,
    accept: string | undefined,
    signal: AbortSignal,
  ): Promise<Digest> {
    if (isDigest(reference)) return reference;
    const { result } = await this.#parts.tags.resolve(caller, reference, accept, 'head', signal);
    return result.digest;
  }

  async #named(
    caller: Caller,
    digest: Digest,
    accept: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { small } = this.#parts;
    const held = this.#isOurs(caller, digest) ? await small.stored(digest, signal) : undefined;
    if (held) return this.#answer(held, false);
    const { result, own } = await small.manifest(caller, digest, accept, signal);
    return this.#answer(result, own);
  }

  #answer(content: Content, positive: boolean): Answer {
    this.#parts.events.answered('bytes');
    return { kind: 'bytes', ...content, positive };
  }

  #isOurs(caller: Caller, digest: Digest): boolean {
    const { provenance } = this.#parts;
    return provenance.isDelivered(caller, digest) && provenance.isMember(caller, digest);
  }
}

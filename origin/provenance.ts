import type { Digest } from '#registry/digest.ts';
import { chooseProofRanges, type ProofRange, type ReadableContent } from '#registry/proof-ranges.ts';
import type { Upstream } from '#registry/upstream.ts';
import { resultError } from '#registry/upstream-answer.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';
import type { Bandwidth } from '#swarm/session/bandwidth.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { type Caller, fullName, inNameOf } from './caller.ts';
import { WrongContentError } from './errors.ts';
import type { OriginEvents } from './events.ts';

export interface ProvenanceParts {
  readonly upstream: Pick<Upstream, 'head' | 'readBlob'>;
  readonly store: Pick<BlobStore, 'stat' | 'addFacts'>;
  /** Of all that is read from upstream. */
  readonly bandwidth: Pick<Bandwidth, 'passed'>;
  /** A random whole number from 0 up to, and without, `below`; unpredictable to registries. */
  readonly randomInt: (below: number) => number;
  readonly events: Pick<OriginEvents, 'proved'>;
}

export interface HeldContent extends ReadableContent {
  readonly digest: Digest;
}

/**
 * Two facts of a digest, kept apart: the registry holds it under that repository, which is the registry's to say;
 * and the registry delivered these very bytes, or proved to have them, which a HEAD or a manifest's mention is not
 * (design, "Rights"). Both are kept with the blob.
 */
export class Provenance {
  readonly #parts: ProvenanceParts;

  constructor(parts: ProvenanceParts) {
    this.#parts = parts;
  }

  isMember(caller: Caller, digest: Digest): boolean {
    return this.#parts.store.stat(digest)?.facts.repositories.includes(fullName(caller)) === true;
  }

  isDelivered({ registry }: Caller, digest: Digest): boolean {
    return this.#parts.store.stat(digest)?.facts.registries.includes(registry) === true;
  }

  /** Both facts are settled: the registry delivered these bytes under that repository. */
  learn(caller: Caller, digest: Digest, mediaType?: string): void {
    this.#parts.store.addFacts(digest, {
      registries: [caller.registry],
      repositories: [fullName(caller)],
      ...(mediaType !== undefined && { mediaType }),
    });
  }

  /**
   * Asks the registry, with the caller's credential, whether the repository holds the digest.
   * @returns the size that it tells
   * @throws UpstreamRefusedError, UpstreamUnreachableError, UpstreamProtocolError, the signal's reason
   */
  async askMember(caller: Caller, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const { registry, repository } = caller;
    const target = { registry, repository, kind: 'blob', reference: digest } as const;
    const result = await this.#parts.upstream.head(target, inNameOf(caller), signal);
    if (!result.ok) throw resultError(registry, result);
    this.#parts.store.addFacts(digest, { repositories: [fullName(caller)] });
    return result.size;
  }

  /**
   * Compares random ranges, of the caller's registry and under the caller's repository, with what is held. Without
   * this, anyone with a registry of their own could name a victim's digest and be given its bytes.
   * @throws WrongContentError where they differ, UpstreamRefusedError, UpstreamUnreachableError,
   * UpstreamProtocolError, the signal's reason, what reading the held content throws
   */
  async prove(caller: Caller, held: HeldContent, signal: AbortSignal): Promise<void> {
    const { events } = this.#parts;
    const difference = await this.#difference(caller, held, signal);
    events.proved(caller, held.digest, difference === undefined ? 'proved' : 'refuted', difference);
    if (difference !== undefined)
      throw new WrongContentError(`${caller.registry} and ${held.digest}: ${difference}`);
    this.learn(caller, held.digest);
  }

  async #difference(caller: Caller, held: HeldContent, signal: AbortSignal): Promise<string | undefined> {
    const chosen = await chooseProofRanges(held, this.#parts.randomInt, signal);
    if (chosen.length === 0) return 'no part of the content is hard enough to guess';
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    try {
      const compared = chosen.map((range) => this.#compare(caller, held, range, either));
      return (await Promise.all(compared)).find((difference) => difference !== undefined);
    } finally {
      over.abort();
    }
  }

  async #compare(
    caller: Caller,
    held: HeldContent,
    { range, bytes }: ProofRange,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { registry, repository } = caller;
    const target = { registry, repository, reference: held.digest };
    const read = this.#parts.upstream.readBlob(target, inNameOf(caller), signal, range);
    try {
      const { size } = await read.open();
      if (size !== held.size) return 'the registry tells another size';
      const chunks: Buffer[] = [];
      for await (const chunk of read) {
        await this.#parts.bandwidth.passed(held.digest, chunk.length, signal);
        chunks.push(chunk);
      }
      return Buffer.concat(chunks).equals(bytes) ? undefined : 'the registry has other bytes';
    } catch (error) {
      if (error instanceof UpstreamRefusedError && error.status === 416)
        return 'the registry has fewer bytes';
      throw error;
    } finally {
      read.cancel();
    }
  }
}

/** A stored blob as `Provenance` compares it. Undefined where the store has it no more. */
export async function openHeld(
  store: Pick<BlobStore, 'open'>,
  digest: Digest,
  signal: AbortSignal,
): Promise<(HeldContent & AsyncDisposable) | undefined> {
  const blob = await store.open(digest, signal);
  return (
    blob && {
      digest,
      size: blob.size,
      read: async ({ start, end }) => {
        const bytes = Buffer.allocUnsafe(end - start + 1);
        await blob.read(start, bytes);
        return bytes;
      },
      [Symbol.asyncDispose]: () => blob[Symbol.asyncDispose](),
    }
  );
}

import type { Digest } from '#registry/digest.ts';
import type { ByteRange } from '#registry/range.ts';
import type { Upstream } from '#registry/upstream.ts';
import { resultError } from '#registry/upstream-answer.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { type Caller, fullName, inNameOf } from './caller.ts';
import { PROOF_BYTES, PROOF_MIN_VALUES, PROOF_TRIES } from './defaults.ts';
import { WrongContentError } from './errors.ts';
import type { OriginEvents } from './events.ts';

export interface ProvenanceParts {
  readonly upstream: Pick<Upstream, 'head' | 'readBlob'>;
  readonly store: Pick<BlobStore, 'stat' | 'addFacts'>;
  /** A random whole number from 0 up to, and without, `below`; unpredictable to registries. */
  readonly randomInt: (below: number) => number;
  readonly events: Pick<OriginEvents, 'proved'>;
}

/** Content of which `read` gives any bytes. */
export interface HeldContent {
  readonly digest: Digest;
  readonly size: number;
  read(range: ByteRange, signal: AbortSignal): Promise<Buffer>;
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
   * Compares a random range, of the caller's registry and under the caller's repository, with what is held. Without
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
    const chosen = await this.#choose(held, signal);
    if (chosen === undefined) return 'no part of the content is hard enough to guess';
    const { registry, repository } = caller;
    const target = { registry, repository, reference: held.digest };
    const read = this.#parts.upstream.readBlob(target, inNameOf(caller), signal, chosen.range);
    try {
      const { size } = await read.open();
      if (size !== held.size) return 'the registry tells another size';
      const chunks: Buffer[] = [];
      for await (const chunk of read) chunks.push(chunk);
      return Buffer.concat(chunks).equals(chosen.bytes) ? undefined : 'the registry has other bytes';
    } catch (error) {
      if (error instanceof UpstreamRefusedError && error.status === 416)
        return 'the registry has fewer bytes';
      throw error;
    } finally {
      read.cancel();
    }
  }

  async #choose(
    held: HeldContent,
    signal: AbortSignal,
  ): Promise<{ range: Required<ByteRange>; bytes: Buffer } | undefined> {
    const length = Math.min(PROOF_BYTES, held.size);
    for (let attempt = 0; attempt < PROOF_TRIES; attempt++) {
      const start = this.#parts.randomInt(held.size - length + 1);
      const range = { start, end: start + length - 1 };
      const bytes = await held.read(range, signal);
      if (new Set(bytes).size >= PROOF_MIN_VALUES) return { range, bytes };
    }
    return undefined;
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

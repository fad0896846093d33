import type { Proof } from '#agent/rights/provenance.ts';
import { CallerRefusedError } from './running-pull.ts';
import type { CountBytes } from './swarm.ts';

/** The registry did not prove to have the bytes that peers sent for the digest. */
class UnprovedContentError extends Error {
  override readonly name = 'UnprovedContentError';

  constructor({ kind }: Exclude<Proof, { kind: 'proved' | 'refuted' | 'refused' }>) {
    super(`the registry did not prove to have the content: ${kind}`);
  }
}

export interface GuardedRead {
  /** Reads from the swarm; tells each chunk's source before it gives the chunk. */
  swarm(count: CountBytes): AsyncIterable<Buffer>;
  /** Whether all that the swarm gave so far is known to be the registry's own. */
  isOwn(): boolean;
  /** Has the registry the bytes that the swarm gave? */
  prove(): Promise<Proof>;
  /** Upstream's own bytes, all of the range but so many at its beginning. */
  direct(without: number): AsyncIterable<Buffer>;
}

/**
 * Bytes that came from elsewhere than the caller's registry wait until the registry has proved to have them too. If it
 * cannot, the caller gets the registry's own from there on.
 * @throws CallerRefusedError, UnprovedContentError
 */
export async function* readGuarded(from: GuardedRead, count: CountBytes): AsyncGenerator<Buffer> {
  let told: Parameters<CountBytes>[] = [];
  let sent = 0;
  for await (const chunk of from.swarm((...source) => told.push(source))) {
    const proof: Proof = from.isOwn() ? PROVED : await from.prove();
    if (proof.kind === 'refuted') {
      yield* from.direct(sent);
      return;
    }
    if (proof.kind === 'refused') throw new CallerRefusedError(proof.refusal);
    if (proof.kind !== 'proved') throw new UnprovedContentError(proof);
    for (const [source, bytes] of told) count(source, bytes);
    told = [];
    sent += chunk.length;
    yield chunk;
  }
}

const PROVED: Proof = { kind: 'proved' };

/** The chunks, each counted as it is handed on. */
export async function* readCounted(
  chunks: AsyncIterable<Buffer>,
  count: CountBytes,
  source: 'cache' | 'upstream',
): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    count(source, chunk.length);
    yield chunk;
  }
}

/** All chunks in one buffer of their own. */
export async function readJoined(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const copies: Buffer[] = [];
  for await (const chunk of chunks) copies.push(Buffer.from(chunk));
  return Buffer.concat(copies);
}

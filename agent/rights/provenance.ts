import { asError } from '#registry/as-error.ts';
import {
  type Caller,
  type GetAnswer,
  readWhole,
  type Told,
  type Upstream,
  type UpstreamFailure,
} from '#agent/upstream.ts';
import type { Digest } from '#registry/digest.ts';
import { chooseProofRanges, type ProofRange, type ReadableContent } from '#registry/proof-ranges.ts';
import type { ByteRange } from '#registry/range.ts';

export type Proof =
  | { readonly kind: 'proved' }
  /** The registry's bytes differ from ours, it does not serve ranges, or ours could be guessed anywhere we looked. */
  | { readonly kind: 'refuted'; readonly reason: string }
  | UpstreamFailure;

export interface ProofParts {
  readonly upstream: Pick<Upstream, 'get'>;
  /** A random whole number from 0 up to, and without, `below`; unpredictable to the registry. */
  readonly randomInt: (below: number) => number;
}

/** What we hold, or what peers send. */
export interface HeldContent extends ReadableContent {
  readonly digest: Digest;
}

/**
 * Has the caller's registry the bytes that we hold by that digest, under that repository? Asked with the caller's
 * own credential for ranges that the registry cannot foresee, all over the content, for beginnings of layers are
 * often alike. Without this, anyone with a registry of their own could name a victim's digest and be given its bytes.
 */
export async function proveByRange(
  parts: ProofParts,
  caller: Caller,
  held: HeldContent,
  signal: AbortSignal,
): Promise<Proof> {
  const chosen = await chooseProofRanges(held, parts.randomInt, signal);
  if (chosen.length === 0)
    return { kind: 'refuted', reason: 'no part of the content is hard enough to guess' };
  const proofs = await Promise.all(chosen.map((range) => prove(parts, caller, held, range, signal)));
  return (
    proofs.find(({ kind }) => kind === 'refuted') ??
    proofs.find(({ kind }) => kind !== 'proved') ?? { kind: 'proved' }
  );
}

async function prove(
  { upstream }: ProofParts,
  caller: Caller,
  held: HeldContent,
  chosen: ProofRange,
  signal: AbortSignal,
): Promise<Proof> {
  const resource = { kind: 'blob', digest: held.digest } as const;
  const answer = await upstream.get({ caller, resource, range: chosen.range }, signal);
  return answer.kind === 'ok' ? compare(answer, chosen, held.size) : answer;
}

async function compare(
  answer: Extract<GetAnswer, { kind: 'ok' }>,
  { range, bytes }: ProofRange,
  size: number,
): Promise<Proof> {
  const mismatch = rangeMismatch(answer.told, range, size);
  if (mismatch !== undefined) {
    await cancel(answer.body);
    return { kind: 'refuted', reason: mismatch };
  }
  try {
    const theirs = await readWhole(answer.body, bytes.length);
    return theirs.equals(bytes)
      ? { kind: 'proved' }
      : { kind: 'refuted', reason: 'the registry has other bytes' };
  } catch (cause) {
    return { kind: 'unreachable', cause: asError(cause) };
  }
}

function rangeMismatch({ status, range: told }: Told, range: ByteRange, size: number): string | undefined {
  if (status !== 206 || told === undefined) return 'the registry does not serve ranges';
  const isAsked = told.start === range.start && told.end === range.end && (told.size ?? size) === size;
  return isAsked ? undefined : 'the registry served another range';
}

async function cancel(body: AsyncIterable<Uint8Array>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

import { asError } from '#agent/as-error.ts';
import { PROOF_BYTES, PROOF_MIN_VALUES, PROOF_TRIES } from '#agent/defaults.ts';
import {
  type Caller,
  type GetAnswer,
  readWhole,
  type Told,
  type Upstream,
  type UpstreamFailure,
} from '#agent/upstream.ts';
import type { Digest } from '#registry/digest.ts';
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

/** Content of which `read` gives any bytes: those we hold, or those that peers send. */
export interface HeldContent {
  readonly digest: Digest;
  readonly size: number;
  read(range: ByteRange, signal: AbortSignal): Promise<Buffer>;
}

/**
 * Has the caller's registry the bytes that we hold by that digest, under that repository? Asked with the caller's
 * own credential for a range that the registry cannot foresee, all over the content, for beginnings of layers are
 * often alike. Without this, anyone with a registry of their own could name a victim's digest and be given its bytes.
 */
export async function proveByRange(
  parts: ProofParts,
  caller: Caller,
  held: HeldContent,
  signal: AbortSignal,
): Promise<Proof> {
  const chosen = await chooseRange(parts, held, signal);
  if (chosen === undefined)
    return { kind: 'refuted', reason: 'no part of the content is hard enough to guess' };
  const resource = { kind: 'blob', digest: held.digest } as const;
  const answer = await parts.upstream.get({ caller, resource, range: chosen.range }, signal);
  if (answer.kind !== 'ok') return answer;
  return compare(answer, chosen, held.size);
}

interface ChosenRange {
  readonly range: ByteRange;
  readonly bytes: Buffer;
}

async function chooseRange(
  parts: ProofParts,
  held: HeldContent,
  signal: AbortSignal,
): Promise<ChosenRange | undefined> {
  const length = Math.min(PROOF_BYTES, held.size);
  for (let attempt = 0; attempt < PROOF_TRIES; attempt += 1) {
    const start = parts.randomInt(held.size - length + 1);
    const range = { start, end: start + length - 1 };
    const bytes = await held.read(range, signal);
    if (new Set(bytes).size >= PROOF_MIN_VALUES) return { range, bytes };
  }
  return undefined;
}

async function compare(
  answer: Extract<GetAnswer, { kind: 'ok' }>,
  { range, bytes }: ChosenRange,
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

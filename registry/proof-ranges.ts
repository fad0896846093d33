import { PROOF_BYTES, PROOF_MIN_VALUES, PROOF_RANGES, PROOF_TRIES } from './defaults.ts';
import type { ByteRange } from './range.ts';

/** Content of which `read` gives any bytes. */
export interface ReadableContent {
  readonly size: number;
  read(range: ByteRange, signal: AbortSignal): Promise<Buffer>;
}

/** Bytes that a registry must return to prove that it has the same content. */
export interface ProofRange {
  readonly range: ByteRange;
  readonly bytes: Buffer;
}

/**
 * Short ranges at places that nobody can foresee, one in each of equal parts of the content: who knows a share `s` of
 * it returns all of them with a chance of about `s` to the power of `PROOF_RANGES`, where one range would leave `s`.
 * Parts that could be guessed, such as padding, are passed over; content of up to `PROOF_BYTES` is one range.
 * @param randomInt gives a whole number from 0 up to, and without, `below`; unpredictable to the registry
 * @returns none where all of it could be guessed
 */
export async function chooseProofRanges(
  held: ReadableContent,
  randomInt: (below: number) => number,
  signal: AbortSignal,
): Promise<ProofRange[]> {
  const parts = held.size <= PROOF_BYTES ? 1 : PROOF_RANGES;
  const length = Math.min(held.size, PROOF_BYTES / parts);
  const chosen = Array.from({ length: parts }, (_, part) => {
    const from = Math.floor((held.size * part) / parts);
    const to = Math.floor((held.size * (part + 1)) / parts);
    return chooseWithin(held, { from, places: to - from - length + 1, length }, randomInt, signal);
  });
  return (await Promise.all(chosen)).filter((range) => range !== undefined);
}

async function chooseWithin(
  held: ReadableContent,
  { from, places, length }: { from: number; places: number; length: number },
  randomInt: (below: number) => number,
  signal: AbortSignal,
): Promise<ProofRange | undefined> {
  for (let attempt = 0; attempt < PROOF_TRIES; attempt += 1) {
    const start = from + randomInt(places);
    const range = { start, end: start + length - 1 };
    const bytes = await held.read(range, signal);
    if (new Set(bytes).size >= PROOF_MIN_VALUES) return { range, bytes };
  }
  return undefined;
}

import type { Material, Random } from './mutation.ts';

/** A function that takes bytes of strangers. */
export interface Decoder extends Material {
  /** Throws nothing but `refusals`. */
  readonly decode: (input: Buffer, random: Random) => void;
  /** Names of the errors by which it refuses. */
  readonly refusals: readonly string[];
}

/** Numbers from 0 up to, and without, `below`: the same for the same seed (mulberry32). */
export type Random = (below: number) => number;

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** What an input is made of: samples that the decoder takes, and words of its language. */
export interface Material {
  readonly samples: readonly Buffer[];
  readonly words: readonly (string | Buffer)[];
}

const MAX_BYTES = 2048;
const MAX_STEPS = 6;
/** Lengths and counts that decoders stumble over: 0, the largest signed and unsigned ones, and those next to them. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/** Inputs without end: samples changed here and there, glued together, cut, filled with words; and now and then plain noise. */
export class Mutation {
  readonly #random: Random;
  readonly #samples: readonly Buffer[];
  readonly #words: readonly Buffer[];

  constructor({ samples, words }: Material, random: Random) {
    this.#random = random;
    this.#samples = samples;
    this.#words = words.map((word) => Buffer.from(word));
  }

  next(): Buffer {
    if (this.#random(16) === 0) return this.#noise(this.#random(96));
    let bytes = this.#pick(this.#samples);
    for (let steps = 1 + this.#random(MAX_STEPS); steps > 0; steps -= 1) bytes = this.#step(bytes);
    return bytes.subarray(0, MAX_BYTES);
  }

  #step(bytes: Buffer): Buffer {
    const at = this.#random(bytes.length + 1);
    const end = at + this.#random(Math.min(32, bytes.length - at) + 1);
    const [before, between, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
    switch (this.#random(8)) {
      case 0:
        return this.#flipped(bytes, at);
      case 1:
        return before;
      case 2:
        return Buffer.concat([before, after]);
      case 3:
        return Buffer.concat([before, this.#pick(this.#words), after]);
      case 4:
        return Buffer.concat([before, ...Array<Buffer>(1 + this.#random(40)).fill(between), after]);
      case 5:
        return Buffer.concat([before, this.#pick(this.#samples).subarray(this.#random(64))]);
      case 6:
        return this.#withEdge(bytes, at);
      default:
        return Buffer.concat([before, this.#noise(1 + this.#random(8)), after]);
    }
  }

  #flipped(bytes: Buffer, at: number): Buffer {
    const changed = Buffer.from(bytes);
    if (at < changed.length) changed[at]! ^= 1 << this.#random(8);
    return changed;
  }

  #withEdge(bytes: Buffer, at: number): Buffer {
    const changed = Buffer.concat([bytes, Buffer.alloc(4)]);
    changed.writeUInt32BE(EDGES[this.#random(EDGES.length)] ?? 0, at);
    return changed;
  }

  #noise(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.#random(256)));
  }

  #pick(from: readonly Buffer[]): Buffer {
    return from[this.#random(from.length)] ?? Buffer.alloc(0);
  }
}

/** A set of piece indices in BEP 3's bitfield layout: bit 7 of byte 0 is piece 0; spare bits are zero. */
export class Bitfield {
  readonly length: number;
  readonly bytes: Uint8Array;
  #count = 0;

  constructor(length: number) {
    this.length = length;
    this.bytes = new Uint8Array(Math.ceil(length / 8));
  }

  /** Parses a peer's message. Undefined when its length is wrong or a spare bit is set (BEP 3: drop the connection). */
  static parse(bytes: Uint8Array, length: number): Bitfield | undefined {
    const field = new Bitfield(length);
    if (bytes.length !== field.bytes.length) return undefined;
    const spare = bytes.length * 8 - length;
    if (spare > 0 && (bytes[bytes.length - 1]! & ((1 << spare) - 1)) !== 0) return undefined;
    field.bytes.set(bytes);
    for (const byte of bytes) field.#count += bitCount(byte);
    return field;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.length;
  }

  has(index: number): boolean {
    return (this.bytes[index >> 3]! & (0x80 >> (index & 7))) !== 0;
  }

  /** Adds `index`; false if it was there. */
  add(index: number): boolean {
    if (this.has(index)) return false;
    this.bytes[index >> 3]! |= 0x80 >> (index & 7);
    this.#count++;
    return true;
  }

  /** Takes `index` out; false if it was not there. */
  remove(index: number): boolean {
    if (!this.has(index)) return false;
    this.bytes[index >> 3]! &= ~(0x80 >> (index & 7));
    this.#count--;
    return true;
  }

  fill(): void {
    for (let index = 0; index < this.length; index++) this.add(index);
  }

  /** The first index from `from` on that is in this set and not in `other`, which is as long; `length` if there is none. */
  nextWithout(other: Bitfield, from: number): number {
    let byte = from >> 3;
    let bits = 0xff >> (from & 7);
    for (; byte < this.bytes.length; byte++, bits = 0xff) {
      bits &= this.bytes[byte]! & ~other.bytes[byte]!;
      if (bits !== 0) return byte * 8 + Math.clz32(bits) - 24;
    }
    return this.length;
  }

  some(test: (index: number) => boolean): boolean {
    for (const index of this) if (test(index)) return true;
    return false;
  }

  *[Symbol.iterator](): Generator<number> {
    for (let index = 0; index < this.length; index++) if (this.has(index)) yield index;
  }
}

function bitCount(byte: number): number {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
}

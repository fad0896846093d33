/** A decoded value (BEP 3). Keys of dictionaries are latin1 strings, so that no byte is lost. */
export type Bencoded = number | Buffer | Bencoded[] | BencodedDictionary;
export type BencodedDictionary = Map<string, Bencoded>;

/** What can be encoded; strings as UTF-8, undefined members of a dictionary are left out. */
export type Bencodable =
  | number
  | string
  | Uint8Array
  | readonly Bencodable[]
  | { readonly [key: string]: Bencodable | undefined };

export class BencodeError extends Error {
  override readonly name = 'BencodeError';
}

export interface BencodeRules {
  /** Refuse what is not the one canonical form: dictionary keys out of order. */
  canonical?: boolean;
}

const MAX_DEPTH = 32;
/** Digits of the largest safe integer, with a sign. */
const MAX_INTEGER_CHARACTERS = 17;
const MAX_LENGTH_DIGITS = 10;

const INTEGER = 0x69; // i
const LIST = 0x6c; // l
const DICTIONARY = 0x64; // d
const END = 0x65; // e
const COLON = 0x3a;

/** Encodes canonically: keys sorted as bytes. */
export function encodeBencode(value: Bencodable): Buffer {
  const parts: Uint8Array[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: Bencodable, parts: Uint8Array[]): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no integer that bencode can carry`);
    parts.push(Buffer.from(`i${value}e`));
  } else if (typeof value === 'string') write(Buffer.from(value), parts);
  else if (value instanceof Uint8Array) parts.push(Buffer.from(`${value.length}:`), value);
  else if (isList(value)) {
    parts.push(Buffer.from('l'));
    for (const item of value) write(item, parts);
    parts.push(Buffer.from('e'));
  } else writeDictionary(value, parts);
}

function isList(value: readonly Bencodable[] | object): value is readonly Bencodable[] {
  return Array.isArray(value);
}

function writeDictionary(
  value: { readonly [key: string]: Bencodable | undefined },
  parts: Uint8Array[],
): void {
  parts.push(Buffer.from('d'));
  const keys = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const key of keys) {
    const member = value[key];
    if (member === undefined) continue;
    write(key, parts);
    write(member, parts);
  }
  parts.push(Buffer.from('e'));
}

/**
 * Decodes one value that takes up all of the bytes. Integers beyond 2^53, leading zeros, repeated keys and nesting beyond 32 are refused.
 * Strings are views of the input. Work and memory are proportional to the input, which the caller bounds.
 * @throws BencodeError
 */
export function decodeBencode(bytes: Uint8Array, rules: BencodeRules = {}): Bencoded {
  const { value, end } = decodeBencodePrefix(bytes, rules);
  if (end !== bytes.length) throw new BencodeError(`${bytes.length - end} bytes follow the value`);
  return value;
}

/** As {@link decodeBencode}, for a value with other bytes behind it, such as BEP 9's: `end` says where they begin. */
export function decodeBencodePrefix(
  bytes: Uint8Array,
  rules: BencodeRules = {},
): { value: Bencoded; end: number } {
  const reader = new Reader(bytes, rules.canonical ?? false);
  const value = reader.value(0);
  return { value, end: reader.position };
}

/** The dictionary, or a clear error. */
export function asDictionary(value: Bencoded | undefined, what: string): BencodedDictionary {
  if (value instanceof Map) return value;
  throw new BencodeError(`${what} is missing or no dictionary`);
}

class Reader {
  readonly #bytes: Buffer;
  readonly #canonical: boolean;
  position = 0;

  constructor(bytes: Uint8Array, canonical: boolean) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#canonical = canonical;
  }

  value(depth: number): Bencoded {
    if (depth > MAX_DEPTH) throw new BencodeError(`nested deeper than ${MAX_DEPTH}`);
    switch (this.#bytes[this.position]) {
      case INTEGER:
        this.position++;
        return this.#number(END, MAX_INTEGER_CHARACTERS);
      case LIST:
        return this.#list(depth);
      case DICTIONARY:
        return this.#dictionary(depth);
      default:
        return this.#string();
    }
  }

  #list(depth: number): Bencoded[] {
    this.position++;
    const list: Bencoded[] = [];
    while (!this.#ended()) list.push(this.value(depth + 1));
    return list;
  }

  #dictionary(depth: number): BencodedDictionary {
    this.position++;
    const dictionary: BencodedDictionary = new Map();
    let last: string | undefined;
    while (!this.#ended()) {
      const key = this.#string().toString('latin1');
      if (dictionary.has(key)) throw new BencodeError('a dictionary has a key twice');
      if (this.#canonical && last !== undefined && key < last)
        throw new BencodeError('the keys of a dictionary are not sorted');
      last = key;
      dictionary.set(key, this.value(depth + 1));
    }
    return dictionary;
  }

  #ended(): boolean {
    if (this.#bytes[this.position] !== END) return false;
    this.position++;
    return true;
  }

  #string(): Buffer {
    const length = this.#number(COLON, MAX_LENGTH_DIGITS);
    const end = this.position + length;
    if (length < 0 || end > this.#bytes.length)
      throw new BencodeError(
        `a string of ${length} bytes where ${this.#bytes.length - this.position} are left`,
      );
    const string = this.#bytes.subarray(this.position, end);
    this.position = end;
    return string;
  }

  /** A decimal integer up to its terminator, in canonical form. */
  #number(terminator: number, most: number): number {
    const start = this.position;
    const end = this.#bytes.subarray(start, start + most + 1).indexOf(terminator);
    const text = end < 0 ? '' : this.#bytes.toString('latin1', start, start + end);
    if (!/^(?:0|-?[1-9][0-9]*)$/u.test(text)) throw new BencodeError(`no bencoded value at byte ${start}`);
    const value = Number(text);
    if (!Number.isSafeInteger(value)) throw new BencodeError(`an integer beyond 2^53 at byte ${start}`);
    this.position = start + end + 1;
    return value;
  }
}

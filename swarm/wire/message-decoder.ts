import { MAX_BITFIELD_BYTES, MAX_BLOCK_LENGTH, MAX_UNKNOWN_BYTES } from './defaults.ts';
import { WireError } from './errors.ts';
import { MESSAGE } from './message-encoder.ts';
import type { BlockRef } from './wire.ts';

/** Where decoded messages go. */
export interface MessageSink {
  onSignal(id: number): void;
  onHave(index: number): void;
  onBitfield(bits: Uint8Array): void;
  onBlockRef(id: number, block: BlockRef): void;
  blockTarget(block: BlockRef): Uint8Array | undefined;
  onBlock(block: BlockRef): void;
  onExtended(id: number, payload: Uint8Array): void;
}

export interface DecoderLimits {
  /** Whether BEP 6 was agreed; without it, its messages end the connection, as the BEP demands. */
  fast: boolean;
  /** Largest payload of a BEP 10 message, in bytes. */
  extensionBytes: number;
}

type Shape = 'signal' | 'have' | 'block' | 'piece' | 'bitfield' | 'extended' | 'unknown';

const SHAPES: Readonly<Record<number, Shape>> = {
  [MESSAGE.choke]: 'signal',
  [MESSAGE.unchoke]: 'signal',
  [MESSAGE.interested]: 'signal',
  [MESSAGE.uninterested]: 'signal',
  [MESSAGE.have]: 'have',
  [MESSAGE.bitfield]: 'bitfield',
  [MESSAGE.request]: 'block',
  [MESSAGE.piece]: 'piece',
  [MESSAGE.cancel]: 'block',
  [MESSAGE.haveAll]: 'signal',
  [MESSAGE.haveNone]: 'signal',
  [MESSAGE.reject]: 'block',
  [MESSAGE.extended]: 'extended',
};

/** Message ids that only BEP 6 knows: 13 to 17. */
const FAST_FIRST = 0x0d;
const FAST_LAST = 0x11;

const LENGTH_BYTES = 4;
/** Length prefix, id, index, offset, length: the longest part of a message that is not payload. */
const LONGEST_HEAD = 17;
/** Payloads grow to their declared length as the bytes really come. */
const FIRST_PAYLOAD_BYTES = 16 * 1024;

/**
 * Cuts a byte stream into peer messages (BEP 3, 6, 10). Chunks may be cut anywhere and are not kept.
 * A block's bytes are copied once, from the chunk to the target that the sink names.
 */
export class MessageDecoder {
  readonly #sink: MessageSink;
  readonly #limits: DecoderLimits;
  readonly #head = new Uint8Array(LONGEST_HEAD);
  #headBytes = 0;
  #headNeeded = LENGTH_BYTES;
  #shape: Shape = 'unknown';
  #payloadLeft = 0;
  #payloadBytes = 0;
  /** Undefined while a payload is dropped. */
  #target: Uint8Array | undefined;
  #block: BlockRef | undefined;
  #stopped = false;

  constructor(sink: MessageSink, limits: DecoderLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  /** No message is reported any more, not even those of a chunk that is being read. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Takes the first `length` bytes of a chunk.
   * @throws WireError where the bytes are no messages; the decoder is then spent.
   */
  push(chunk: Buffer, length: number): void {
    let position = 0;
    while (position < length && !this.#stopped) {
      if (this.#payloadLeft > 0) position = this.#takePayload(chunk, position, length);
      else position = this.#takeHead(chunk, position, length);
    }
  }

  #takeHead(chunk: Buffer, start: number, end: number): number {
    const head = this.#head;
    let position = start;
    while (position < end && this.#headBytes < this.#headNeeded) head[this.#headBytes++] = chunk[position++]!;
    if (this.#headBytes === this.#headNeeded) this.#headStep();
    return position;
  }

  /** A step of the head is whole: the length, then the id, then the fixed fields of its kind. */
  #headStep(): void {
    if (this.#headBytes === LENGTH_BYTES) {
      if (this.#uint32(0) === 0) this.#headBytes = 0; // keep-alive
      else this.#headNeeded = LENGTH_BYTES + 1;
    } else if (this.#headBytes === LENGTH_BYTES + 1) {
      this.#classify();
      if (this.#headNeeded === this.#headBytes) this.#headDone();
    } else this.#headDone();
  }

  /** Checks the declared length against what the kind allows, before anything is taken for it. */
  #classify(): void {
    const length = this.#uint32(0);
    const id = this.#head[LENGTH_BYTES]!;
    if (!this.#limits.fast && id >= FAST_FIRST && id <= FAST_LAST)
      throw new WireError(`message ${id} belongs to the fast extension, which was not agreed`);
    this.#shape = SHAPES[id] ?? 'unknown';
    const [fixed, least, most] = this.#bounds();
    if (length < least || length > most)
      throw new WireError(
        `message ${id} of ${length} bytes: ${least === most ? least : `${least} to ${most}`} allowed`,
      );
    this.#headNeeded = LENGTH_BYTES + fixed;
  }

  /** Of the message after its length prefix: bytes with fixed meaning, least and greatest length. */
  #bounds(): [fixed: number, least: number, most: number] {
    switch (this.#shape) {
      case 'signal':
        return [1, 1, 1];
      case 'have':
        return [5, 5, 5];
      case 'block':
        return [13, 13, 13];
      case 'piece':
        return [9, 10, 9 + MAX_BLOCK_LENGTH];
      case 'bitfield':
        return [1, 1, 1 + MAX_BITFIELD_BYTES];
      case 'extended':
        return [2, 2, 2 + this.#limits.extensionBytes];
      default:
        return [1, 1, 1 + MAX_UNKNOWN_BYTES];
    }
  }

  #headDone(): void {
    const payload = this.#uint32(0) + LENGTH_BYTES - this.#headNeeded;
    this.#headBytes = 0;
    this.#headNeeded = LENGTH_BYTES;
    this.#payloadBytes = 0;
    this.#payloadLeft = payload;
    this.#target = undefined;
    switch (this.#shape) {
      case 'signal':
        this.#sink.onSignal(this.#head[4]!);
        break;
      case 'have':
        this.#sink.onHave(this.#uint32(5));
        break;
      case 'block':
        this.#sink.onBlockRef(this.#head[4]!, this.#blockRef(this.#uint32(13)));
        break;
      case 'piece':
        this.#beginBlock(this.#blockRef(payload));
        break;
      case 'bitfield':
      case 'extended':
        this.#target = new Uint8Array(Math.min(payload, FIRST_PAYLOAD_BYTES));
        if (payload === 0) this.#payloadDone();
        break;
      default:
    }
  }

  #blockRef(length: number): BlockRef {
    return { index: this.#uint32(5), offset: this.#uint32(9), length };
  }

  #beginBlock(block: BlockRef): void {
    const target = this.#sink.blockTarget(block);
    if (target !== undefined && target.length !== block.length)
      throw new RangeError(`a block of ${block.length} bytes was given a target of ${target.length}`);
    this.#target = target;
    this.#block = block;
  }

  #takePayload(chunk: Buffer, start: number, end: number): number {
    const count = Math.min(end - start, this.#payloadLeft);
    if (this.#target !== undefined) this.#copy(chunk, start, count);
    this.#payloadBytes += count;
    this.#payloadLeft -= count;
    if (this.#payloadLeft === 0) this.#payloadDone();
    return start + count;
  }

  #copy(chunk: Buffer, start: number, count: number): void {
    let target = this.#target!;
    const needed = this.#payloadBytes + count;
    if (needed > target.length) {
      const grown = new Uint8Array(
        Math.min(Math.max(needed, 2 * target.length), this.#payloadBytes + this.#payloadLeft),
      );
      grown.set(target);
      target = this.#target = grown;
    }
    chunk.copy(target, this.#payloadBytes, start, start + count);
  }

  #payloadDone(): void {
    const target = this.#target;
    this.#target = undefined;
    if (target === undefined) return;
    if (this.#shape === 'piece') this.#sink.onBlock(this.#block!);
    else if (this.#shape === 'bitfield') this.#sink.onBitfield(target);
    else this.#sink.onExtended(this.#head[5]!, target);
  }

  /** Unsigned, big-endian, of the head. */
  #uint32(at: number): number {
    const head = this.#head;
    return ((head[at]! << 24) | (head[at + 1]! << 16) | (head[at + 2]! << 8) | head[at + 3]!) >>> 0;
  }
}

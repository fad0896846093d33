import { asError } from '#registry/as-error.ts';
import {
  IDLE_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  MAX_EXTENSION_BYTES,
  MAX_QUEUED_BYTES,
  MAX_STRANGER_EXTENSION_BYTES,
  MAX_WAITING_REQUESTS,
  STRANGER_BLOCK_LENGTH,
} from './defaults.ts';
import { WireError } from './errors.ts';
import {
  decodeExtendedHandshake,
  encodeExtendedHandshake,
  extensionName,
  type ShoalHello,
} from './extended-handshake.ts';
import type { Link, LinkListener } from './link.ts';
import { MessageDecoder, type MessageSink } from './message-decoder.ts';
import {
  encodeBitfieldHead,
  encodeBlockRef,
  encodeExtendedHead,
  encodeHave,
  encodeKeepAlive,
  encodePieceHead,
  encodeSignal,
  MESSAGE,
} from './message-encoder.ts';
import type { BlockRef, ExtendedHello, Wire, WireHandler } from './wire.ts';

export interface WireFacts {
  infoHash: Buffer;
  peerId: Buffer;
  outgoing: boolean;
  member: boolean;
  fast: boolean;
  /** Both sides speak BEP 10. */
  extended: boolean;
}

export interface WireTimings {
  keepAliveMs: number;
  idleMs: number;
}

export const WIRE_TIMINGS: WireTimings = { keepAliveMs: KEEP_ALIVE_MS, idleMs: IDLE_TIMEOUT_MS };

const EXTENDED_HANDSHAKE = 0;
/** Offsets stay below 2^21 and keys below 2^53, since pieces have 1 MiB at most. */
const OFFSET_RANGE = 2 ** 21;

/** A wire over a link whose handshakes are done. */
export class PeerWire implements Wire, MessageSink, LinkListener {
  readonly infoHash: Buffer;
  readonly peerId: Buffer;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly outgoing: boolean;
  readonly member: boolean;
  readonly fast: boolean;
  readonly #extended: boolean;
  readonly #link: Link;
  readonly #self: ShoalHello;
  readonly #decoder: MessageDecoder;
  readonly #waiting = new Set<number>();
  readonly #timers: NodeJS.Timeout[];
  #blockLength: number | undefined;
  #extensionIds: ReadonlyMap<string, number> = new Map();
  #handler: WireHandler | undefined;
  /** Messages of this tick that no payload has followed yet. */
  #heads: Buffer[] = [];
  #flushing = false;
  #corked = false;
  #closed = false;
  #closedBy: Error | undefined;

  constructor(link: Link, facts: WireFacts, self: ShoalHello, timings: WireTimings = WIRE_TIMINGS) {
    ({ infoHash: this.infoHash, peerId: this.peerId } = facts);
    ({ outgoing: this.outgoing, member: this.member, fast: this.fast } = facts);
    this.#extended = facts.extended;
    this.remoteAddress = link.socket.remoteAddress ?? '';
    this.remotePort = link.socket.remotePort ?? 0;
    this.#link = link;
    this.#self = self;
    const extensionBytes = facts.member ? MAX_EXTENSION_BYTES : MAX_STRANGER_EXTENSION_BYTES;
    this.#decoder = new MessageDecoder(this, { fast: facts.fast, extensionBytes });
    this.#timers = [
      watch(
        timings.keepAliveMs,
        () => link.bytesWritten,
        () => this.#write(encodeKeepAlive()),
      ),
      watch(
        timings.idleMs,
        () => link.bytesRead,
        () => this.close(new WireError(`nothing heard for ${timings.idleMs} ms`)),
      ),
    ];
  }

  get blockLength(): number {
    return this.#blockLength ?? STRANGER_BLOCK_LENGTH;
  }

  get bytesRead(): number {
    return this.#link.bytesRead;
  }

  get queuedBytes(): number {
    return this.#link.socket.writableLength;
  }

  start(handler: WireHandler, hello: ExtendedHello = {}): void {
    if (this.#handler !== undefined) throw new Error('a wire is started once');
    this.#handler = handler;
    if (this.#closed) {
      process.nextTick(() => handler.onClose(this.#closedBy));
      return;
    }
    if (this.#extended) {
      const payload = encodeExtendedHandshake(hello, this.member ? this.#self : undefined);
      this.#write(encodeExtendedHead(EXTENDED_HANDSHAKE, payload.length), payload);
    }
    this.#link.flow(this);
  }

  choke(): void {
    if (!this.fast) this.#waiting.clear(); // BEP 3: a choke drops them; BEP 6: each is rejected
    this.#write(encodeSignal(MESSAGE.choke));
  }

  unchoke(): void {
    this.#write(encodeSignal(MESSAGE.unchoke));
  }

  interested(): void {
    this.#write(encodeSignal(MESSAGE.interested));
  }

  uninterested(): void {
    this.#write(encodeSignal(MESSAGE.uninterested));
  }

  have(index: number): void {
    this.#write(encodeHave(index));
  }

  bitfield(bits: Uint8Array): void {
    this.#write(encodeBitfieldHead(bits.length), bits);
  }

  haveAll(): void {
    this.#fastSignal(MESSAGE.haveAll);
  }

  haveNone(): void {
    this.#fastSignal(MESSAGE.haveNone);
  }

  request(block: BlockRef): void {
    this.#write(encodeBlockRef(MESSAGE.request, block));
  }

  cancel(block: BlockRef): void {
    this.#write(encodeBlockRef(MESSAGE.cancel, block));
  }

  reject(block: BlockRef): void {
    if (this.#waiting.delete(keyOf(block)) && this.fast) this.#write(encodeBlockRef(MESSAGE.reject, block));
  }

  piece(block: BlockRef, data: Uint8Array, released?: () => void): boolean {
    if (data.length !== block.length)
      throw new RangeError(`${data.length} bytes for a block of ${block.length}`);
    if (this.#closed || !this.#waiting.delete(keyOf(block))) {
      released?.();
      return true;
    }
    return this.#write(encodePieceHead(block), data, released);
  }

  extension(name: string, payload: Uint8Array): void {
    const id = this.#extensionIds.get(name);
    if (id !== undefined) this.#write(encodeExtendedHead(id, payload.length), payload);
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closedBy = error;
    this.#decoder.stop();
    this.#timers.forEach(clearInterval);
    this.#link.destroy();
    this.#handler?.onClose(error);
  }

  // What the link reports.

  onBytes(chunk: Buffer, length: number): void {
    try {
      this.#decoder.push(chunk, length);
    } catch (error) {
      this.close(asError(error));
    }
  }

  onDrain(): void {
    if (!this.#closed) this.#handler!.onDrain();
  }

  onClose(error?: Error): void {
    this.close(error);
  }

  // What the decoder reports.

  onSignal(id: number): void {
    const handler = this.#handler!;
    if (id === MESSAGE.choke) handler.onChoke();
    else if (id === MESSAGE.unchoke) handler.onUnchoke();
    else if (id === MESSAGE.interested) handler.onInterested();
    else if (id === MESSAGE.uninterested) handler.onUninterested();
    else if (id === MESSAGE.haveAll) handler.onHaveAll();
    else handler.onHaveNone();
  }

  onHave(index: number): void {
    this.#handler!.onHave(index);
  }

  onBitfield(bits: Uint8Array): void {
    this.#handler!.onBitfield(bits);
  }

  onBlockRef(id: number, block: BlockRef): void {
    if (id === MESSAGE.request) this.#onRequest(block);
    else if (id === MESSAGE.cancel) this.#onCancel(block);
    else this.#handler!.onReject(block);
  }

  blockTarget(block: BlockRef): Uint8Array | undefined {
    return this.#handler!.blockTarget(block);
  }

  onBlock(block: BlockRef): void {
    this.#handler!.onBlock(block);
  }

  onExtended(id: number, payload: Uint8Array): void {
    if (id === EXTENDED_HANDSHAKE) this.#onExtendedHandshake(payload);
    else {
      const name = extensionName(id, this.member);
      if (name !== undefined) this.#handler!.onExtension(name, payload);
    }
  }

  #onRequest(block: BlockRef): void {
    if (block.length < 1 || block.length > this.blockLength)
      throw new WireError(`a request for ${block.length} bytes, 1 to ${this.blockLength} allowed`);
    if (block.offset >= OFFSET_RANGE) throw new WireError(`a request at offset ${block.offset} of a piece`);
    const key = keyOf(block);
    if (this.#waiting.has(key)) return;
    if (this.#waiting.size === MAX_WAITING_REQUESTS)
      throw new WireError(`more than ${MAX_WAITING_REQUESTS} requests wait at once`);
    this.#waiting.add(key);
    this.#handler!.onRequest(block);
  }

  #onCancel(block: BlockRef): void {
    const key = keyOf(block);
    if (!this.#waiting.has(key)) return;
    if (!this.fast) this.#waiting.delete(key);
    this.#handler!.onCancel(block);
  }

  #onExtendedHandshake(payload: Uint8Array): void {
    const { handshake, ids } = decodeExtendedHandshake(payload, this.member);
    this.#extensionIds = ids;
    // Agreed once: a later handshake must not make requests on their way too long.
    this.#blockLength ??= Math.min(
      handshake.shoal?.blockLength ?? STRANGER_BLOCK_LENGTH,
      this.#self.blockLength,
    );
    this.#handler!.onExtendedHandshake(handshake);
  }

  #fastSignal(id: number): void {
    if (!this.fast) throw new Error('have-all and have-none need the fast extension on both sides');
    this.#write(encodeSignal(id));
  }

  /** All that is written within one tick goes to the kernel at once, messages without payload as one buffer. */
  #write(head: Buffer, payload?: Uint8Array, written?: () => void): boolean {
    if (this.#closed) return true;
    this.#heads.push(head);
    this.#link.bytesWritten += head.length + (payload?.length ?? 0);
    if (!this.#flushing) {
      this.#flushing = true;
      process.nextTick(this.#flush);
    }
    return payload === undefined || payload.length === 0 || this.#writePayload(payload, written);
  }

  /** @returns false: the socket wants no more for now. */
  #writePayload(payload: Uint8Array, written: (() => void) | undefined): boolean {
    const { socket } = this.#link;
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
    }
    this.#writeHeads();
    // Called with an error too, when the socket is destroyed first.
    const more = socket.write(payload, written);
    this.#checkQueue();
    return more;
  }

  #writeHeads(): void {
    const heads = this.#heads;
    this.#link.socket.write(heads.length === 1 ? heads[0]! : Buffer.concat(heads));
    this.#heads = [];
  }

  #checkQueue(): void {
    const { writableLength } = this.#link.socket;
    if (writableLength > MAX_QUEUED_BYTES)
      this.close(new WireError(`the other side does not read: ${writableLength} bytes wait for it`));
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    if (this.#heads.length > 0 && !this.#closed) this.#writeHeads();
    if (this.#corked) this.#link.socket.uncork();
    this.#corked = false;
    this.#checkQueue();
  };
}

function keyOf(block: BlockRef): number {
  return block.index * OFFSET_RANGE + block.offset;
}

/** Calls back when the counter stood still for the period, or up to half as long again. Never keeps the process alive. */
function watch(periodMs: number, counter: () => number, onStill: () => void): NodeJS.Timeout {
  let last = counter();
  let still = 0;
  return setInterval(() => {
    const now = counter();
    still = now === last ? still + 1 : 0;
    last = now;
    if (still < 2) return;
    still = 0;
    onStill();
  }, periodMs / 2).unref();
}

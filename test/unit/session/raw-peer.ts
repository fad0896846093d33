import { randomBytes } from 'node:crypto';
import { Bitfield } from '#swarm/core/bitfield.ts';
import { PeerTransport } from '#swarm/wire/transport.ts';
import type { BlockRef, ExtendedHandshake, Wire, WireHandler } from '#swarm/wire/wire.ts';
import { EXTENSION, decodePieceIndex } from '#swarm/wire/shoal-messages.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';

interface RawPeerOptions {
  /** What it answers to a request; undefined: nothing at all. */
  readonly answer?: (block: BlockRef) => Uint8Array | 'reject' | undefined;
  /** The signed batch that it gives for a piece. */
  readonly hashes?: (index: number) => Uint8Array | undefined;
  /** Where the other listens; loopback by default. */
  readonly host?: string;
  readonly identity?: ConstructorParameters<typeof PeerTransport>[0]['membershipKeys'];
  /** What it says that it is; an agent by default. */
  readonly role?: 'agent' | 'origin';
}

/** A member that speaks the protocol by hand: what it does beyond answering is up to the test. */
export class RawPeer implements WireHandler, AsyncDisposable {
  readonly #options: RawPeerOptions;
  readonly #transport: PeerTransport;
  #introduced = Promise.withResolvers<void>();
  #closed = Promise.withResolvers<Error | undefined>();
  readonly requests: BlockRef[] = [];
  readonly cancelled: BlockRef[] = [];
  readonly rejected: BlockRef[] = [];
  readonly received: BlockRef[] = [];
  readonly have = new Set<number>();
  readonly batches: Uint8Array[] = [];
  /** Pieces that it was asked to show. */
  readonly wanted: number[] = [];
  interested = false;
  choked = true;
  isClosed = false;
  wire!: Wire;

  constructor(options: RawPeerOptions = {}) {
    this.#options = options;
    const parts = {
      peerId: randomBytes(20),
      role: options.role ?? 'agent',
      admitStrangers: false,
      membershipKeys: options.identity,
      accept: () => undefined,
    } as const;
    // Half of the smallest piece, so that two peers can have a part in one.
    this.#transport = new PeerTransport(parts, { blockLength: 128 * 1024 });
  }

  /** Connects, and waits until both sides have introduced themselves. */
  static async connect(port: number, infoHash: Buffer, options: RawPeerOptions = {}): Promise<RawPeer> {
    const peer = new RawPeer(options);
    await peer.redial(port, infoHash);
    return peer;
  }

  /** Connects once more, as the same peer. */
  async redial(port: number, infoHash: Buffer): Promise<void> {
    const { host = '127.0.0.1' } = this.#options;
    const target = { host, port, infoHash, role: 'agent' } as const;
    this.#introduced = Promise.withResolvers();
    this.#closed = Promise.withResolvers();
    this.isClosed = false;
    this.wire = await this.#transport.dial(target, AbortSignal.timeout(5_000));
    this.wire.start(this);
    await Promise.race([this.#introduced.promise, this.#closed.promise]);
  }

  /** Claims to have these pieces and lets everything be asked for. */
  offer(count: number, pieces: Iterable<number> = Array.from({ length: count }, (_, index) => index)): void {
    const field = new Bitfield(count);
    for (const index of pieces) field.add(index);
    this.wire.bitfield(field.bytes);
    this.wire.unchoke();
  }

  /** Resolves when the other side has hung up. */
  get closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  onRequest(block: BlockRef): void {
    this.requests.push(block);
    const answer = this.#options.answer?.(block);
    if (answer === 'reject') this.wire.reject(block);
    else if (answer) this.wire.piece(block, answer);
  }

  onExtension(name: string, payload: Uint8Array): void {
    if (name === EXTENSION.hashes) this.batches.push(payload);
    if (name === EXTENSION.want) this.wanted.push(decodePieceIndex(payload));
    if (name !== EXTENSION.hashRequest) return;
    const signed = this.#options.hashes?.(decodePieceIndex(payload));
    if (signed) this.wire.extension(EXTENSION.hashes, signed);
  }

  onExtendedHandshake(_handshake: ExtendedHandshake): void {
    this.#introduced.resolve();
  }

  onBitfield(bits: Uint8Array): void {
    for (let index = 0; index < bits.length * 8; index++)
      if ((bits[index >> 3]! & (0x80 >> (index & 7))) !== 0) this.have.add(index);
  }

  onHave(index: number): void {
    this.have.add(index);
  }

  onHaveAll(): void {
    this.have.add(-1);
  }

  blockTarget(block: BlockRef): Uint8Array {
    return Buffer.alloc(block.length);
  }

  onBlock(block: BlockRef): void {
    this.received.push(block);
  }

  onCancel(block: BlockRef): void {
    this.cancelled.push(block);
    this.wire.reject(block);
  }

  onReject(block: BlockRef): void {
    this.rejected.push(block);
  }

  onInterested(): void {
    this.interested = true;
  }

  onUninterested(): void {
    this.interested = false;
  }

  onUnchoke(): void {
    this.choked = false;
  }

  onChoke(): void {
    this.choked = true;
  }

  onHaveNone(): void {}
  onDrain(): void {}

  onClose(error?: Error): void {
    this.isClosed = true;
    this.#closed.resolve(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }
}

/** Answers with the blob's true bytes. */
export function honestly(blob: Buffer): (block: BlockRef) => Buffer {
  return ({ index, offset, length }) => {
    const start = index * pieceLength(blob.length) + offset;
    return blob.subarray(start, start + length);
  };
}

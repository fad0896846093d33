/** A part of a piece. All three are unsigned 32-bit numbers, offset and length in bytes (BEP 3). */
export interface BlockRef {
  index: number;
  offset: number;
  length: number;
}

/** What a wire reports. All calls are made synchronously while bytes are read; an exception closes the wire with that error. */
export interface WireHandler {
  onChoke(): void;
  onUnchoke(): void;
  onInterested(): void;
  onUninterested(): void;
  onHave(index: number): void;
  /** The bits are the handler's to keep; their number is not checked against the torrent's pieces. */
  onBitfield(bits: Uint8Array): void;
  onHaveAll(): void;
  onHaveNone(): void;
  /** Answer with `piece` or `reject`. A block that is already waiting is not reported again. */
  onRequest(block: BlockRef): void;
  /** Only for a block that waits. With `fast` it still has to be answered, by `piece` or `reject`. */
  onCancel(block: BlockRef): void;
  onReject(block: BlockRef): void;
  /**
   * Where the bytes of an arriving block go, `block.length` long; undefined: nobody asked for it, drop the bytes.
   * Called once per piece message, before its payload is read. The memory is written to until `onBlock` or `onClose`.
   */
  blockTarget(block: BlockRef): Uint8Array | undefined;
  /** The target is filled. */
  onBlock(block: BlockRef): void;
  /** A BEP 10 message of a kind that Shoal speaks; the payload is the handler's to keep. */
  onExtension(name: string, payload: Uint8Array): void;
  onExtendedHandshake(handshake: ExtendedHandshake): void;
  /** What `piece` answered false to has been taken by the kernel. */
  onDrain(): void;
  /** Exactly once, the last call; without an error where either side ended the wire properly. */
  onClose(error?: Error): void;
}

export type WireRole = 'agent' | 'origin';

/** What the other side told of itself (BEP 10). */
export interface ExtendedHandshake {
  /** Only from members. `blockLength` is what the other side proposed; `Wire.blockLength` is what was agreed. */
  shoal?: { role: WireRole; blockLength: number; node?: string; zone?: string | undefined };
  /** Requests that it lets wait, 1 to 512. */
  requestQueue: number;
  /** Bytes of the info dictionary (BEP 9). */
  metadataSize?: number;
  /** BEP 21. */
  uploadOnly: boolean;
  /** Names of the extension messages that it takes and Shoal knows. */
  extensions: ReadonlySet<string>;
}

/** What this side tells in its extended handshake beside its own role and limits. */
export interface ExtendedHello {
  metadataSize?: number;
  uploadOnly?: boolean;
}

/**
 * One BitTorrent connection after both handshakes (BEP 3, 6, 10). All calls are synchronous and do nothing once it is closed.
 * A wire must be started or closed by whoever got it.
 */
export interface Wire {
  /** 20 bytes. */
  readonly infoHash: Buffer;
  /** The other side's, 20 bytes. */
  readonly peerId: Buffer;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly outgoing: boolean;
  /** It proved cluster membership, or security is off and it calls itself a Shoal peer. */
  readonly member: boolean;
  /** Both sides speak BEP 6. */
  readonly fast: boolean;
  /** Largest block that either side may request: 16 KiB for strangers and until the extended handshake came, then the smaller of both proposals. */
  readonly blockLength: number;
  /** Bytes read since the connection was opened, messages and all. */
  readonly bytesRead: number;
  /** Bytes written and not yet taken by the kernel. */
  readonly queuedBytes: number;
  /** Sends the extended handshake and lets messages flow. Once. */
  start(handler: WireHandler, hello?: ExtendedHello): void;
  choke(): void;
  unchoke(): void;
  interested(): void;
  uninterested(): void;
  have(index: number): void;
  bitfield(bits: Uint8Array): void;
  /** Needs `fast`, like `haveNone`. */
  haveAll(): void;
  haveNone(): void;
  request(block: BlockRef): void;
  cancel(block: BlockRef): void;
  /** Sends nothing without `fast`. */
  reject(block: BlockRef): void;
  /**
   * Answers a request. The data is not copied and must not change until `released` is called, once, when it was sent or never will be.
   * A block that does not wait (any more) is not sent.
   * @returns false: wait for `onDrain` before the next.
   */
  piece(block: BlockRef, data: Uint8Array, released?: () => void): boolean;
  /** Dropped if the other side doesn't know the name. The payload is not copied. */
  extension(name: string, payload: Uint8Array): void;
  /** Drops what is queued. */
  close(error?: Error): void;
}

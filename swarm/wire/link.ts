import net from 'node:net';
import tls from 'node:tls';
import { MAX_HELD_BYTES, READ_BUFFER_BYTES, SEND_QUEUE_BYTES } from './defaults.ts';
import { HandshakeError } from './errors.ts';

/**
 * Node reads into this buffer and calls back before it reads again, from any socket: one is enough for all, and it is never kept from.
 * Without it Node allocates 64 KiB per read, which costs half as much CPU time again and tens of MiB of garbage at full speed (docs/wire.md).
 */
const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

/** Takes the first `length` bytes of a chunk that is valid only during the call. */
type ByteSink = (chunk: Buffer, length: number) => void;

export interface LinkListener {
  onBytes: ByteSink;
  onDrain(): void;
  /** Exactly once. */
  onClose(error?: Error): void;
}

interface PendingRead {
  length: number;
  resolve(bytes: Buffer): void;
  reject(error: Error): void;
}

/**
 * A socket, read in two phases: exact lengths while handshakes are made, then everything as it comes.
 * In the first phase the socket is read only while bytes are asked for.
 */
export class Link {
  #socket: net.Socket | undefined;
  #held: Buffer = Buffer.alloc(0);
  #pending: PendingRead | undefined;
  #listener: LinkListener | undefined;
  #closed = false;
  #error: Error | undefined;
  /** Bytes that came in and went out, all in all. */
  bytesRead = 0;
  bytesWritten = 0;

  /** Starts to dial; what goes wrong shows in the first read. */
  static connect(address: { host: string; port: number }, secure: tls.ConnectionOptions | undefined): Link {
    const link = new Link();
    const options = { ...address, noDelay: true, highWaterMark: SEND_QUEUE_BYTES, onread: link.#onread() };
    link.#use(secure === undefined ? net.connect(options) : tls.connect({ ...secure, ...options }));
    return link;
  }

  /** Takes over an accepted TCP socket from which nothing is being read. */
  static adopt(accepted: net.Socket): Link {
    const link = new Link();
    const handle = takeHandle(accepted);
    if (handle === undefined) return Link.wrap(accepted);
    const options = { handle, writableHighWaterMark: SEND_QUEUE_BYTES, onread: link.#onread() };
    link.#use(new net.Socket(options));
    return link;
  }

  /** Reads a socket by its 'data' events. */
  static wrap(socket: net.Socket): Link {
    const link = new Link();
    link.#use(socket);
    socket.on('data', (chunk: Buffer) => {
      if (!link.#take(chunk, chunk.length)) socket.pause();
    });
    return link;
  }

  get socket(): net.Socket {
    return this.#socket!;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Resolves with exactly so many bytes. One read at a time, and only before `flow`.
   * @throws HandshakeError where the connection ends first
   */
  read(length: number): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.#pending = { length, resolve, reject };
    if (this.#closed) this.#failRead();
    else if (!this.#serveRead()) this.socket.resume();
    return promise;
  }

  /** Puts back bytes that were read elsewhere; they are the next to be read. */
  unread(bytes: Buffer): void {
    this.#held = Buffer.concat([bytes, this.#held]);
  }

  /** Hands everything to the listener from the next tick on. */
  flow(listener: LinkListener): void {
    process.nextTick(() => {
      this.#listener = listener;
      const held = this.#held;
      this.#held = Buffer.alloc(0);
      if (held.length > 0) listener.onBytes(held, held.length);
      if (this.#closed) listener.onClose(this.#error);
      else this.socket.resume();
    });
  }

  write(bytes: Uint8Array): void {
    this.bytesWritten += bytes.length;
    this.socket.write(bytes);
  }

  /** The listener's `onClose` comes later, without an error. */
  destroy(): void {
    this.socket.destroy();
  }

  #onread(): net.OnReadOpts {
    return { buffer: readBuffer, callback: (length) => this.#take(readBuffer, length) };
  }

  #use(socket: net.Socket): void {
    this.#socket = socket;
    socket.on('drain', () => this.#listener?.onDrain());
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('end', () => socket.destroy()); // nobody waits for what is still queued to one who has left
    socket.on('close', () => {
      this.#closed = true;
      this.#failRead();
      this.#listener?.onClose(this.#error);
    });
  }

  /** @returns false to pause the socket. */
  #take(chunk: Buffer, length: number): boolean {
    this.bytesRead += length;
    if (this.#listener !== undefined) {
      this.#listener.onBytes(chunk, length);
      return true;
    }
    this.#held = Buffer.concat([this.#held, chunk.subarray(0, length)]);
    if (this.#held.length > MAX_HELD_BYTES) {
      this.socket.destroy(
        new HandshakeError(`more than ${MAX_HELD_BYTES} bytes before the handshake was done`),
      );
      return false;
    }
    return this.#pending !== undefined && !this.#serveRead();
  }

  #serveRead(): boolean {
    const pending = this.#pending;
    if (pending === undefined || this.#held.length < pending.length) return false;
    this.#pending = undefined;
    const bytes = this.#held.subarray(0, pending.length);
    this.#held = this.#held.subarray(pending.length);
    pending.resolve(bytes);
    return true;
  }

  #failRead(): void {
    const reason = this.#error?.message ?? 'the other side closed the connection';
    this.#pending?.reject(new HandshakeError(`no handshake: ${reason}`, { cause: this.#error }));
    this.#pending = undefined;
  }
}

/**
 * The native handle of an accepted socket, which is left without it. Node offers `onread` only to sockets that dial,
 * so this reaches for a private field; undefined where a version of Node has none.
 */
function takeHandle(accepted: net.Socket): net.BoundSocket | undefined {
  const handle: unknown = Reflect.get(accepted, '_handle');
  if (!isNativeHandle(handle)) return undefined;
  Reflect.set(accepted, '_handle', null);
  accepted.destroy(); // so that its server counts it out
  return handle;
}

/** Native handles have no public type; `net.Socket` takes one in the place of a BoundSocket. */
function isNativeHandle(handle: unknown): handle is net.BoundSocket {
  return typeof handle === 'object' && handle !== null && 'useUserBuffer' in handle;
}

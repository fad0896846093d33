import net from 'node:net';
import tls from 'node:tls';
import { Attempt } from './attempt.ts';
import { HANDSHAKE_TIMEOUT_MS, MAX_PENDING_HANDSHAKES, SHOAL_BLOCK_LENGTH } from './defaults.ts';
import { HandshakeError } from './errors.ts';
import type { ShoalHello } from './extended-handshake.ts';
import {
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_BYTES,
  PLAIN_FIRST_BYTE,
  type Handshake,
} from './handshake.ts';
import { Link } from './link.ts';
import { PeerWire, WIRE_TIMINGS, type WireTimings } from './peer-wire.ts';
import { PREAMBLE_FIRST_BYTE, proveAsDialer, proveAsListener } from './preamble.ts';
import { TlsAcceptor } from './tls-acceptor.ts';
import type { Wire, WireRole } from './wire.ts';

/** Must start or close the wire. */
export type WireAcceptor = (wire: Wire) => void;

export interface TransportParts {
  /** Prove membership between agents, the first this side's, each of them the other's; undefined where keys do not. */
  membershipKeys?: (() => readonly Buffer[]) | undefined;
  /** Undefined where security is off. */
  tls?: WireTls | undefined;
  /** This side's, 20 bytes. */
  peerId: Buffer;
  role: WireRole;
  /** The node's name, told to members. */
  node?: string | undefined;
  /** The node's zone, told to members; read whenever a wire opens. */
  zone?: (() => string | undefined) | undefined;
  /** Whether stock clients, which prove nothing, are let in and may be dialled. */
  admitStrangers: boolean;
  /** Who answers for this info-hash; undefined: the connection is cut without an answer. */
  accept(infoHash: Buffer, hello: { member: boolean }): WireAcceptor | undefined;
  /** Hears why an incoming connection was cut before its handshakes were done. */
  onRefused?(error: Error, remoteAddress: string): void;
}

/** TLS that both sides prove membership by. */
interface WireTls {
  /** A server that hands on none but members; it is not listening. */
  server: () => tls.Server;
  /** For one connection. */
  client: () => tls.ConnectionOptions;
  /** Called before a dial; what it returns ends the connection when what proved it counts no more. */
  guardDial: () => (socket: tls.TLSSocket) => void;
  /** Spoken between agents too; else to and between origins only. */
  everywhere: boolean;
}

export interface TransportOptions {
  /** Largest block proposed to other Shoal peers, 16 KiB to 256 KiB. */
  blockLength?: number;
  handshakeTimeoutMs?: number;
  maxPendingHandshakes?: number;
  timings?: WireTimings;
}

export interface DialTarget {
  host: string;
  port: number;
  /** 20 bytes. */
  infoHash: Buffer;
  /** Of the far side; it decides how membership is proven. */
  role: WireRole | 'stranger';
}

/** How often wires are looked over for keys that were taken out. Milliseconds. */
const KEY_CHECK_MS = 1000;

/** First byte of a TLS record that carries a handshake (RFC 8446, 5.1). */
const TLS_FIRST_BYTE = 0x16;

/** Makes wires: dials peers, and listens on one port for members (preamble or TLS) and, where admitted, strangers (plain BEP 3). */
export class PeerTransport implements AsyncDisposable {
  readonly #parts: TransportParts;
  readonly #self: ShoalHello;
  readonly #handshakeTimeoutMs: number;
  readonly #maxPending: number;
  readonly #timings: WireTimings;
  readonly #tlsAcceptor: TlsAcceptor | undefined;
  readonly #servers = new Set<net.Server>();
  readonly #attempts = new Set<Attempt>();
  readonly #wires = new Set<PeerWire>();
  /** The membership key that proved a wire. */
  readonly #provedBy = new Map<PeerWire, Buffer>();
  #watch: NodeJS.Timeout | undefined;
  #incoming = 0;
  #stopped = false;

  constructor(parts: TransportParts, options: TransportOptions = {}) {
    this.#parts = parts;
    const hello = { role: parts.role, blockLength: options.blockLength ?? SHOAL_BLOCK_LENGTH };
    this.#self = {
      ...hello,
      ...(parts.node !== undefined && { node: parts.node }),
      get zone() {
        return parts.zone?.();
      },
    };
    this.#handshakeTimeoutMs = options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS;
    this.#maxPending = options.maxPendingHandshakes ?? MAX_PENDING_HANDSHAKES;
    this.#timings = options.timings ?? WIRE_TIMINGS;
    this.#tlsAcceptor = parts.tls && new TlsAcceptor(parts.tls.server());
    if (parts.membershipKeys !== undefined)
      this.#watch = setInterval(() => this.#endDisowned(), KEY_CHECK_MS).unref();
  }

  /** Wires that are open. */
  get size(): number {
    return this.#wires.size;
  }

  /**
   * @returns the bound address
   * @throws the listening error, such as EADDRINUSE
   */
  async listen(address: { host: string; port: number }): Promise<{ address: string; port: number }> {
    const server = net.createServer({ noDelay: true }, (socket) => this.#onConnection(socket));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(address, resolve);
    await promise;
    this.#servers.add(server);
    const bound = server.address();
    if (bound === null || typeof bound === 'string') throw new Error('a TCP server has no TCP address');
    return { address: bound.address, port: bound.port };
  }

  /**
   * Connects and makes both handshakes. The wire must be started or closed.
   * @throws HandshakeError, or the signal's reason
   */
  async dial(target: DialTarget, signal: AbortSignal): Promise<Wire> {
    signal.throwIfAborted();
    if (this.#stopped) throw new HandshakeError('the transport has been stopped');
    if (target.role === 'stranger' && !this.#plainAllowed)
      throw new HandshakeError('strangers are not admitted, and so not dialled');
    const proof = this.#secures(target) ? this.#parts.tls : undefined;
    const [guard, secure] = [proof?.guardDial(), proof?.client()];
    const link = Link.connect({ host: target.host, port: target.port }, secure);
    return this.#attempt(link, new Attempt(link, this.#handshakeTimeoutMs, signal), async () => {
      if (secure !== undefined) guard?.(await secured(link.socket));
      const keyless = secure !== undefined || target.role === 'stranger';
      const [key] = (keyless ? undefined : this.#parts.membershipKeys?.()) ?? [];
      if (key !== undefined) await proveAsDialer(link, key);
      link.write(encodeHandshake(target.infoHash, this.#parts.peerId));
      const handshake = await this.#readHandshake(link);
      if (!handshake.infoHash.equals(target.infoHash))
        throw new HandshakeError('the other side answered for another info-hash');
      return this.#wire(link, handshake, {
        outgoing: true,
        member: key !== undefined || secure !== undefined || this.#claims(handshake),
        key,
      });
    });
  }

  /** Ends all listening, all handshakes and all wires. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#watch);
    const closed = [...this.#servers].map((server) => new Promise((resolve) => server.close(resolve)));
    for (const attempt of this.#attempts) attempt.cut(new HandshakeError('the transport has been stopped'));
    for (const wire of this.#wires) wire.close();
    this.#tlsAcceptor?.close();
    await Promise.all(closed);
  }

  get #secured(): boolean {
    return this.#parts.membershipKeys !== undefined || this.#parts.tls !== undefined;
  }

  #secures({ role }: DialTarget): boolean {
    return role !== 'stranger' && (role === 'origin' || this.#parts.tls?.everywhere === true);
  }

  get #plainAllowed(): boolean {
    return this.#parts.admitStrangers || !this.#secured;
  }

  /** Where security is off, a peer's word is taken. */
  #claims(handshake: Handshake): boolean {
    return !this.#secured && handshake.shoal;
  }

  #onConnection(socket: net.Socket): void {
    const remote = socket.remoteAddress ?? '';
    const refuse = (error: Error): void => this.#parts.onRefused?.(error, remote);
    socket.on('error', () => socket.destroy());
    if (this.#incoming >= this.#maxPending) {
      socket.destroy();
      refuse(new HandshakeError(`${this.#incoming} handshakes are under way, ${this.#maxPending} allowed`));
      return;
    }
    this.#incoming++;
    const attempt = new Attempt(socket, this.#handshakeTimeoutMs);
    this.#attempt(socket, attempt, () => this.#answer(socket, attempt))
      .catch(refuse)
      .finally(() => this.#incoming--);
  }

  /** Runs a handshake; destroys what it runs on when it fails. */
  async #attempt<T>(target: { destroy(): void }, attempt: Attempt, handshake: () => Promise<T>): Promise<T> {
    using running = attempt;
    this.#attempts.add(running);
    try {
      return await handshake();
    } catch (error) {
      target.destroy();
      throw running.reason ?? error;
    } finally {
      this.#attempts.delete(running);
    }
  }

  async #answer(socket: net.Socket, attempt: Attempt): Promise<void> {
    const first = await firstBytes(socket);
    const link = await this.#admit(socket, first);
    attempt.replace(link);
    try {
      const kind = first[0]!;
      const key =
        kind === PREAMBLE_FIRST_BYTE ? await proveAsListener(link, this.#parts.membershipKeys!()) : undefined;
      const handshake = await this.#readHandshake(link);
      // Only members get a byte through TLS.
      const proven = kind !== PLAIN_FIRST_BYTE || this.#claims(handshake);
      const acceptor = this.#parts.accept(handshake.infoHash, { member: proven });
      if (acceptor === undefined)
        throw new HandshakeError(`nobody answers for ${handshake.infoHash.toString('hex')}`);
      link.write(encodeHandshake(handshake.infoHash, this.#parts.peerId));
      acceptor(this.#wire(link, handshake, { outgoing: false, member: proven, key }));
    } catch (error) {
      link.destroy();
      throw error;
    }
  }

  /** The first byte tells the kind of connection; what is not allowed here is cut without an answer. */
  async #admit(socket: net.Socket, first: Buffer): Promise<Link> {
    const kind = first[0]!;
    if (kind === TLS_FIRST_BYTE && this.#tlsAcceptor !== undefined) {
      socket.unshift(first);
      return Link.wrap(await this.#tlsAcceptor.accept(socket));
    }
    const preamble = kind === PREAMBLE_FIRST_BYTE && this.#parts.membershipKeys !== undefined;
    const plain = kind === PLAIN_FIRST_BYTE && this.#plainAllowed;
    if (!preamble && !plain)
      throw new HandshakeError(`a connection that begins with 0x${kind.toString(16)} is not admitted here`);
    const link = Link.adopt(socket);
    link.unread(first);
    return link;
  }

  async #readHandshake(link: Link): Promise<Handshake> {
    const handshake = decodeHandshake(await link.read(HANDSHAKE_BYTES));
    if (handshake.peerId.equals(this.#parts.peerId)) throw new HandshakeError('connected to itself');
    return handshake;
  }

  #wire(
    link: Link,
    handshake: Handshake,
    { key, ...facts }: { outgoing: boolean; member: boolean; key: Buffer | undefined },
  ): PeerWire {
    const wire = new PeerWire(link, { ...facts, ...handshake }, this.#self, this.#timings);
    this.#wires.add(wire);
    if (key !== undefined) this.#provedBy.set(wire, key);
    link.socket.once('close', () => {
      this.#wires.delete(wire);
      this.#provedBy.delete(wire);
    });
    return wire;
  }

  /** Ends wires proved by a key that was taken out. */
  #endDisowned(): void {
    if (this.#provedBy.size === 0) return;
    const keys = this.#parts.membershipKeys?.() ?? [];
    for (const [wire, key] of this.#provedBy) if (!keys.some((known) => known.equals(key))) wire.close();
  }
}

/** Resolves with the socket when both sides have proved what TLS asks of them, before a word is said. */
function secured(socket: net.Socket): Promise<tls.TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<tls.TLSSocket>();
  const fail = (cause?: unknown): void =>
    reject(new HandshakeError('the TLS handshake failed', cause instanceof Error ? { cause } : {}));
  const done = (): void => (socket instanceof tls.TLSSocket ? resolve(socket) : fail());
  socket.once('secureConnect', done).once('error', fail).once('close', fail);
  return promise.finally(() => socket.off('error', fail).off('close', fail));
}

/** What came first, at least a byte; the socket is then no longer read. */
function firstBytes(socket: net.Socket): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const onReadable = (): void => {
    const bytes: unknown = socket.read();
    if (!Buffer.isBuffer(bytes)) return;
    socket.removeListener('readable', onReadable);
    resolve(bytes);
  };
  socket.on('readable', onReadable);
  socket.once('close', () => reject(new HandshakeError('closed before its first byte')));
  return promise;
}

import type { Server as PlainServer } from 'node:http';
import type { Server as TlsServer } from 'node:net';
import type { Socket } from 'node:net';
import { STRANGER_CONNECTIONS, STRANGER_IDLE_MS } from './defaults.ts';

/** First byte of a TLS record that carries a handshake (RFC 8446, 5.1). */
const TLS_FIRST_BYTE = 0x16;

/**
 * Lets stock clients, which have no cluster key, speak plain HTTP on a TLS server's port: by its first byte a
 * connection goes to the one server or the other. Of the plain one nothing but public routes may be reachable.
 */
export class PlainFront implements Disposable {
  readonly #plain: PlainServer;
  readonly #undecided = new Set<Socket>();
  readonly #strangers = new Set<Socket>();
  #closed = false;

  /** @param secure must have all its own listeners to connections by now */
  constructor(secure: TlsServer, plain: PlainServer) {
    this.#plain = plain;
    const handlers = secure.listeners('connection');
    secure.removeAllListeners('connection');
    secure.on('connection', (socket: Socket) => {
      this.#decide(socket, () => {
        for (const handle of handlers) Reflect.apply(handle, secure, [socket]);
      });
    });
  }

  /** Cuts those who have not said a word yet, and strangers; to be done before the server closes, which waits for them. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const socket of [...this.#undecided, ...this.#strangers]) socket.destroy();
  }

  #decide(socket: Socket, toSecure: () => void): void {
    if (this.#closed) return void socket.destroy();
    this.#undecided.add(socket);
    const cut = (): void => void socket.destroy();
    const forget = (): void => void this.#undecided.delete(socket);
    socket.setTimeout(STRANGER_IDLE_MS, cut);
    socket.once('error', cut).once('close', forget);
    socket.once('data', (chunk: Buffer) => {
      socket.pause();
      socket.setTimeout(0, cut).off('timeout', cut).off('error', cut).off('close', forget);
      forget();
      socket.unshift(chunk);
      if (chunk[0] === TLS_FIRST_BYTE) toSecure();
      else this.#admit(socket);
      // Its server has put its listeners by now.
      process.nextTick(() => socket.resume());
    });
  }

  #admit(socket: Socket): void {
    if (this.#strangers.size >= STRANGER_CONNECTIONS) return void socket.destroy();
    this.#strangers.add(socket);
    socket.once('close', () => this.#strangers.delete(socket));
    this.#plain.emit('connection', socket);
    socket.setTimeout(STRANGER_IDLE_MS, () => socket.destroy());
  }
}

import type net from 'node:net';
import type tls from 'node:tls';
import { HandshakeError } from './errors.ts';

/** Lets a TLS server, which listens nowhere itself, make the handshake on sockets that were accepted elsewhere. */
export class TlsAcceptor {
  readonly #server: tls.Server;
  readonly #waiting = new Map<string, (socket: tls.TLSSocket) => void>();

  constructor(server: tls.Server) {
    this.#server = server;
    server.on('secureConnection', (socket: tls.TLSSocket) => {
      // Who proved nothing was cut by the server's own listener.
      if (!socket.destroyed) this.#waiting.get(placeOf(socket))?.(socket);
    });
  }

  /**
   * @param socket from which nothing more is being read
   * @throws HandshakeError
   */
  async accept(socket: net.Socket): Promise<tls.TLSSocket> {
    const place = placeOf(socket);
    const { promise, resolve, reject } = Promise.withResolvers<tls.TLSSocket>();
    this.#waiting.set(place, resolve);
    socket.once('close', () => reject(new HandshakeError('the TLS handshake failed')));
    try {
      this.#server.emit('connection', socket);
      return await promise;
    } finally {
      this.#waiting.delete(place);
    }
  }

  close(): void {
    this.#server.close();
  }
}

/** No two connections to one listener have the same. */
function placeOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

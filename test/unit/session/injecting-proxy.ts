import net from 'node:net';

/** A TCP relay in which a test writes bytes of its own between those of whoever dialled. */
export class InjectingProxy implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #onward: net.Socket | undefined;

  private constructor(server: net.Server) {
    this.#server = server;
  }

  /** @param from loopback address that the relayed connections come from */
  static async start(port: number, from = '127.0.0.1'): Promise<InjectingProxy> {
    const server = net.createServer();
    const proxy = new InjectingProxy(server);
    server.on('connection', (socket) => proxy.#relay(socket, port, from));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return address.port;
  }

  /** To be called while nothing is being sent: the bytes are whole messages. */
  inject(...messages: Uint8Array[]): void {
    for (const bytes of messages) this.#onward!.write(bytes);
  }

  #relay(socket: net.Socket, port: number, localAddress: string): void {
    const onward = net.connect({ host: '127.0.0.1', port, localAddress, noDelay: true });
    this.#onward = onward;
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}

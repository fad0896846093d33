import { once } from 'node:events';
import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { freePort } from '../free-port.ts';

const HOST = '127.0.0.1';
const ATTEMPTS = 5;

export interface Tls {
  key: string;
  cert: string;
}

/** An HTTP server on loopback that can go away and come back on the same port. */
export class Listener {
  readonly #handler: RequestListener;
  readonly #tls: Tls | undefined;
  #server: Server | undefined;
  #port = 0;

  constructor(handler: RequestListener, tls?: Tls) {
    this.#handler = handler;
    this.#tls = tls;
  }

  /** Known after the first start. */
  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://${HOST}:${this.#port}`;
  }

  get running(): boolean {
    return this.#server !== undefined;
  }

  /** @throws the system's error when the port is taken: after a stop no other port will do. */
  async start(): Promise<void> {
    if (this.#server !== undefined) return;
    for (let attempt = 1; ; attempt++) {
      const port = this.#port === 0 ? await freePort() : this.#port;
      try {
        this.#server = await this.#listen(port);
        this.#port = port;
        return;
      } catch (error) {
        if (this.#port !== 0 || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Cuts every connection. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async #listen(port: number): Promise<Server> {
    const server =
      this.#tls === undefined ? createHttp(this.#handler) : createHttps(this.#tls, this.#handler);
    server.keepAliveTimeout = 60_000;
    server.listen(port, HOST);
    await once(server, 'listening');
    return server;
  }
}

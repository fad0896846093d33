import { connect, type Socket } from 'node:net';

export interface Request {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sees each part of a body; the bytes are valid during the call only. */
  readonly onBody: (bytes: Uint8Array, response: Response) => void;
}

export interface Response {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

interface Exchange {
  readonly onBody: Request['onBody'];
  readonly resolve: (response: Response) => void;
  readonly reject: (error: Error) => void;
}

const READ_BUFFER_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 64 * 1024;

/**
 * GETs over one kept-alive HTTP/1.1 connection, one after another. It exists because what pulls shares the cores with
 * what is shown or measured: this costs a fraction of `node:http`. Bodies need a Content-Length.
 */
export class HttpConnection {
  readonly #socket: Socket;
  readonly #host: string;
  #exchange: Exchange | undefined;
  #head = Buffer.alloc(0);
  #response: Response | undefined;
  #bodyLeft = 0;
  #closed: Error | undefined;

  constructor({ host, port }: { host: string; port: number }) {
    this.#host = `${host}:${port}`;
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES),
        callback: (count, buffer) => this.#receive(buffer.subarray(0, count)),
      },
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection was cut')));
  }

  get usable(): boolean {
    return this.#closed === undefined && this.#exchange === undefined;
  }

  /** @throws Error when the connection ends before the body does, or the answer is no HTTP that is understood */
  get({ path, headers, onBody }: Request): Promise<Response> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#exchange !== undefined) return Promise.reject(new Error('a request is under way'));
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#exchange = { onBody, resolve, reject };
    const lines = Object.entries({ host: this.#host, ...headers }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    this.#socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
    return promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Uint8Array): boolean {
    try {
      const body = this.#response === undefined ? this.#readHead(bytes) : bytes;
      if (this.#response !== undefined) this.#readBody(this.#response, body);
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
    return true;
  }

  /** Returns what follows the head. */
  #readHead(bytes: Uint8Array): Uint8Array {
    if (this.#exchange === undefined) throw new Error('bytes arrived that nobody asked for');
    this.#head = Buffer.concat([this.#head, bytes]);
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0 && this.#head.length > MAX_HEAD_BYTES) throw new Error('the head of the answer has no end');
    if (end < 0) return bytes.subarray(0, 0);
    const response = parseHead(this.#head.toString('latin1', 0, end));
    const length = response.headers.get('content-length');
    if (length === undefined || !/^\d+$/.test(length)) throw new Error('the answer has no Content-Length');
    this.#response = response;
    this.#bodyLeft = Number(length);
    const rest = this.#head.subarray(end + 4);
    this.#head = Buffer.alloc(0);
    return rest;
  }

  #readBody(response: Response, bytes: Uint8Array): void {
    if (bytes.length > this.#bodyLeft) throw new Error('the body is longer than its Content-Length');
    this.#bodyLeft -= bytes.length;
    if (bytes.length > 0) this.#exchange?.onBody(bytes, response);
    if (this.#bodyLeft > 0) return;
    const { resolve } = this.#exchange!;
    this.#exchange = undefined;
    this.#response = undefined;
    if (response.headers.get('connection')?.toLowerCase() === 'close') this.#socket.destroy();
    resolve(response);
  }

  #fail(error: Error): void {
    this.#closed ??= error;
    this.#exchange?.reject(this.#closed);
    this.#exchange = undefined;
  }
}

function parseHead(text: string): Response {
  const [first = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1];
  if (status === undefined) throw new Error(`"${first.slice(0, 80)}" is no answer by HTTP/1.1`);
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(status), headers: new Map(headers) };
}

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { TransportOptions, TransportParts } from '#swarm/wire/transport.ts';
import { PeerTransport } from '#swarm/wire/transport.ts';
import type { BlockRef, ExtendedHandshake, Wire, WireHandler } from '#swarm/wire/wire.ts';

export const KEY = Buffer.alloc(32, 5);
export const OTHER_KEY = Buffer.alloc(32, 6);
export const INFO_HASH = Buffer.from('0123456789abcdef0123456789abcdef01234567', 'hex');

const PSK = { ciphers: 'ECDHE-PSK-CHACHA20-POLY1305', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

/** What service/ makes of a cluster key. */
export function securedBy(key: Buffer): Pick<TransportParts, 'membershipKeys' | 'tls'> {
  const client = {
    ...PSK,
    pskCallback: () => ({ psk: key, identity: 'test' }),
    checkServerIdentity: () => undefined,
  };
  const server = (): tls.Server => tls.createServer({ ...PSK, pskCallback: () => key });
  return {
    membershipKeys: () => [key],
    tls: { server, client: () => client, guardDial: () => () => {}, everywhere: false },
  };
}

/** Remembers what a wire reports, and lets a test wait for it. */
export class RecordingHandler implements WireHandler {
  readonly events: unknown[][] = [];
  readonly targets = new Map<string, Buffer>();
  readonly #waiting = new Map<string, () => void>();
  handshake: ExtendedHandshake | undefined;
  /** Serves what is asked for. */
  answer: ((block: BlockRef) => void) | undefined;

  /** Resolves once an event of this name was reported, from the start on. */
  async until(name: string): Promise<unknown[]> {
    for (;;) {
      const event = this.events.find(([known]) => known === name);
      if (event !== undefined) return event;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.set(name, resolve);
      await promise;
    }
  }

  count(name: string): number {
    return this.events.filter(([known]) => known === name).length;
  }

  onChoke = (): void => this.#record('choke');
  onUnchoke = (): void => this.#record('unchoke');
  onInterested = (): void => this.#record('interested');
  onUninterested = (): void => this.#record('uninterested');
  onHave = (index: number): void => this.#record('have', index);
  onBitfield = (bits: Uint8Array): void => this.#record('bitfield', Buffer.from(bits).toString('hex'));
  onHaveAll = (): void => this.#record('haveAll');
  onHaveNone = (): void => this.#record('haveNone');
  onRequest = (block: BlockRef): void => {
    this.#record('request', block);
    this.answer?.(block);
  };
  onCancel = (block: BlockRef): void => this.#record('cancel', block);
  onReject = (block: BlockRef): void => this.#record('reject', block);
  blockTarget = (block: BlockRef): Uint8Array | undefined =>
    this.targets.get(`${block.index}/${block.offset}`);
  onBlock = (block: BlockRef): void => this.#record('block', block);
  onExtension = (name: string, payload: Uint8Array): void =>
    this.#record(name, Buffer.from(payload).toString('hex'));
  onExtendedHandshake = (handshake: ExtendedHandshake): void => {
    this.handshake = handshake;
    this.#record('extended');
  };
  onDrain = (): void => this.#record('drain');
  onClose = (error?: Error): void => this.#record('close', error);

  #record(...event: unknown[]): void {
    this.events.push(event);
    const name = String(event[0]);
    this.#waiting.get(name)?.();
    this.#waiting.delete(name);
  }
}

/** A listening transport that hands out its wires, started, with their recordings. */
export async function listening(
  stack: AsyncDisposableStack,
  parts: Partial<TransportParts> = {},
  options: TransportOptions = {},
): Promise<{
  port: number;
  transport: PeerTransport;
  refusals: Error[];
  accepted: Promise<{ wire: Wire; handler: RecordingHandler }>;
}> {
  const { promise: accepted, resolve } = Promise.withResolvers<{ wire: Wire; handler: RecordingHandler }>();
  const refusals: Error[] = [];
  const transport = makeTransport(
    {
      accept: () => (wire) => {
        const handler = new RecordingHandler();
        wire.start(handler);
        resolve({ wire, handler });
      },
      onRefused: (error) => refusals.push(error),
      ...parts,
    },
    options,
  );
  stack.use(transport);
  const { port } = await transport.listen({ host: '127.0.0.1', port: 0 });
  return { port, transport, refusals, accepted };
}

export function makeTransport(
  parts: Partial<TransportParts> = {},
  options: TransportOptions = {},
): PeerTransport {
  return new PeerTransport(
    { peerId: randomBytes(20), role: 'agent', admitStrangers: false, accept: () => undefined, ...parts },
    options,
  );
}

export async function dial(
  transport: PeerTransport,
  port: number,
  role: 'agent' | 'origin' | 'stranger' = 'agent',
): Promise<{ wire: Wire; handler: RecordingHandler }> {
  const wire = await transport.dial(
    { host: '127.0.0.1', port, infoHash: INFO_HASH, role },
    AbortSignal.timeout(5000),
  );
  const handler = new RecordingHandler();
  wire.start(handler);
  return { wire, handler };
}

/** Two wires that talk to each other over a real connection. */
export async function connectedPair(
  stack: AsyncDisposableStack,
  parts: Partial<TransportParts> = {},
  options: TransportOptions = {},
): Promise<{
  dialer: { wire: Wire; handler: RecordingHandler };
  listener: { wire: Wire; handler: RecordingHandler };
}> {
  const { port, accepted } = await listening(stack, parts, options);
  const dialer = await dial(stack.use(makeTransport(parts, options)), port);
  return { dialer, listener: await accepted };
}

/** Sends bytes to a port and collects what comes back until the other side closes. */
export async function exchange(port: number, bytes: Uint8Array): Promise<Buffer> {
  const socket = net.connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {}); // being cut is what most callers want to see
  socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks);
}

/** @returns the port */
export async function listenAnywhere(stack: AsyncDisposableStack, server: net.Server): Promise<number> {
  stack.defer(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

/** The next bytes that come. */
export function nextBytes(socket: net.Socket): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  socket.once('data', resolve);
  return promise;
}

/** A connected socket that says nothing by itself. */
export async function rawSocket(stack: AsyncDisposableStack, port: number): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1');
  stack.defer(() => void socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

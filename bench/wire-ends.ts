import { createHash } from 'node:crypto';
import net from 'node:net';
import { createServer } from 'node:tls';
import Protocol from 'bittorrent-protocol';
import { sha256 } from '#swarm/hashes/sha256.ts';
import { PeerTransport } from '#swarm/wire/transport.ts';
import type { BlockRef, Wire, WireHandler } from '#swarm/wire/wire.ts';

/** What one end of a measured transfer does; the other end gets the same with the other `side`. */
export interface EndSettings {
  codec: 'shoal' | 'bittorrent-protocol';
  security: 'off' | 'preamble' | 'tls';
  blockLength: number;
  side: 'send' | 'receive';
  /** Port of the other end; undefined: this end listens. */
  dial: number | undefined;
}

export interface Usage {
  cpuSeconds: number;
  seconds: number;
  rssMiB: number;
}

const PIECE = 256 * 1024;
const PIECES = 4096;
const WINDOW_BYTES = 2 * 1024 * 1024;
/** Distinct pieces, so that the sender's data does not sit in the processor's cache. */
const DISTINCT = 64;
const KEY = Buffer.alloc(32, 7);
const INFO_HASH = Buffer.alloc(20, 1);

/** Pieces of repeatable noise. */
function makePieces(): Buffer[] {
  return Array.from({ length: DISTINCT }, (_, index) =>
    createHash('shake256', { outputLength: PIECE }).update(`${index}`).digest(),
  );
}

/** Asks for all pieces, a window at a time, and checks the sha256 of each. */
class Receiver {
  readonly #expected = makePieces().map((piece) => sha256(piece));
  readonly #slots = Array.from({ length: WINDOW_BYTES / PIECE + 1 }, () => Buffer.alloc(PIECE));
  readonly #missing = new Map<number, number>();
  readonly #blockLength: number;
  #next = 0;
  #outstanding = 0;
  #done = 0;

  constructor(blockLength: number) {
    this.#blockLength = blockLength;
  }

  fill(request: (block: BlockRef) => void): void {
    while (this.#outstanding < WINDOW_BYTES && this.#next < (PIECES * PIECE) / this.#blockLength) {
      const position = this.#next++ * this.#blockLength;
      const index = Math.floor(position / PIECE);
      this.#outstanding += this.#blockLength;
      request({ index, offset: position % PIECE, length: this.#blockLength });
    }
  }

  target(block: BlockRef): Buffer {
    return this.#slot(block.index).subarray(block.offset, block.offset + block.length);
  }

  /** @returns whether all is there. */
  arrived(block: BlockRef): boolean {
    this.#outstanding -= block.length;
    const missing = (this.#missing.get(block.index) ?? PIECE) - block.length;
    this.#missing.set(block.index, missing);
    if (missing > 0) return false;
    this.#missing.delete(block.index);
    if (!sha256(this.#slot(block.index)).equals(this.#expected[block.index % DISTINCT]!))
      throw new Error(`piece ${block.index} is wrong`);
    return ++this.#done === PIECES;
  }

  #slot(index: number): Buffer {
    return this.#slots[index % this.#slots.length]!;
  }
}

/** Runs one end. `ready` gets the port it listens at, or undefined once it has dialled; `done` what the transfer took. */
export async function runEnd(
  settings: EndSettings,
  ready: (port?: number) => void,
  done: (usage: Usage) => void,
): Promise<void> {
  const clock = new Stopwatch(done);
  if (settings.codec === 'shoal') await runShoal(settings, ready, clock);
  else await runStock(settings, ready, clock);
}

/** From the first request to the last block, or to the connection's end for who sends. */
class Stopwatch {
  readonly #done: (usage: Usage) => void;
  #cpu: NodeJS.CpuUsage | undefined;
  #start = 0;
  #stopped = false;

  constructor(done: (usage: Usage) => void) {
    this.#done = done;
  }

  start(): void {
    if (this.#cpu !== undefined) return;
    this.#cpu = process.cpuUsage();
    this.#start = performance.now();
  }

  stop(): void {
    if (this.#cpu === undefined || this.#stopped) return;
    this.#stopped = true;
    const { user, system } = process.cpuUsage(this.#cpu);
    const seconds = (performance.now() - this.#start) / 1000;
    this.#done({ cpuSeconds: (user + system) / 1e6, seconds, rssMiB: process.memoryUsage.rss() / 2 ** 20 });
  }
}

async function runShoal(
  settings: EndSettings,
  ready: (port?: number) => void,
  clock: Stopwatch,
): Promise<void> {
  const start = (wire: Wire): void =>
    wire.start(settings.side === 'send' ? sending(wire, clock) : receiving(wire, settings, clock));
  const psk = {
    ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
  } as const;
  const secured = {
    membershipKeys: () => [KEY],
    tls: {
      server: () => createServer({ ...psk, pskCallback: () => KEY }),
      client: () => ({
        ...psk,
        pskCallback: () => ({ psk: KEY, identity: 'bench' }),
        checkServerIdentity: () => undefined,
      }),
      guardDial: () => () => undefined,
      everywhere: false,
    },
  };
  const parts = {
    ...(settings.security === 'off' ? {} : secured),
    peerId: Buffer.alloc(20, settings.side === 'send' ? 2 : 3),
    role: 'agent' as const,
    admitStrangers: false,
    accept: () => start,
  };
  const transport = new PeerTransport(parts, { blockLength: Math.max(settings.blockLength, 16 * 1024) });
  if (settings.dial === undefined)
    return ready((await transport.listen({ host: '127.0.0.1', port: 0 })).port);
  const role = settings.security === 'tls' ? 'origin' : 'agent';
  start(
    await transport.dial(
      { host: '127.0.0.1', port: settings.dial, infoHash: INFO_HASH, role },
      AbortSignal.timeout(10_000),
    ),
  );
  ready();
}

const SILENT: WireHandler = {
  onChoke() {},
  onUnchoke() {},
  onInterested() {},
  onUninterested() {},
  onHave() {},
  onBitfield() {},
  onHaveAll() {},
  onHaveNone() {},
  onRequest() {},
  onCancel() {},
  onReject() {},
  blockTarget: () => undefined,
  onBlock() {},
  onExtension() {},
  onExtendedHandshake() {},
  onDrain() {},
  onClose() {},
};

function sending(wire: Wire, clock: Stopwatch): WireHandler {
  const pieces = makePieces();
  const queue: BlockRef[] = [];
  let full = false;
  const serve = (): void => {
    while (!full) {
      const block = queue.shift();
      if (block === undefined) return;
      const data = pieces[block.index % DISTINCT]!.subarray(block.offset, block.offset + block.length);
      full = !wire.piece(block, data);
    }
  };
  return {
    ...SILENT,
    onRequest(block) {
      clock.start();
      queue.push(block);
      serve();
    },
    onDrain() {
      full = false;
      serve();
    },
    onClose: () => clock.stop(),
  };
}

function receiving(wire: Wire, settings: EndSettings, clock: Stopwatch): WireHandler {
  const receiver = new Receiver(settings.blockLength);
  const fill = (): void => receiver.fill((block) => wire.request(block));
  return {
    ...SILENT,
    onExtendedHandshake() {
      clock.start();
      fill();
    },
    blockTarget: (block) => receiver.target(block),
    onBlock(block) {
      const last = receiver.arrived(block);
      if (!last) return fill();
      clock.stop();
      wire.close();
    },
  };
}

async function runStock(
  settings: EndSettings,
  ready: (port?: number) => void,
  clock: Stopwatch,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<net.Socket>();
  if (settings.dial === undefined) {
    const server = net
      .createServer({ noDelay: true }, resolve)
      .listen(0, '127.0.0.1', () => ready(portOf(server)));
  } else {
    const socket = net.connect({ host: '127.0.0.1', port: settings.dial, noDelay: true }, () =>
      resolve(socket),
    );
  }
  const socket = await promise;
  const wire = new Protocol();
  socket.pipe(wire).pipe(socket);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => clock.stop());
  if (settings.side === 'send') sendStock(wire, clock);
  else receiveStock(wire, settings, clock, socket);
  wire.handshake(INFO_HASH, Buffer.alloc(20, 2), { fast: true });
  if (settings.dial !== undefined) ready();
}

function portOf(server: net.Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

function sendStock(wire: Protocol, clock: Stopwatch): void {
  const pieces = makePieces();
  wire.on('handshake', () => wire.unchoke());
  wire.on('request', (index, offset, length, respond) => {
    clock.start();
    respond(null, pieces[index % DISTINCT]!.subarray(offset, offset + length));
  });
}

function receiveStock(wire: Protocol, settings: EndSettings, clock: Stopwatch, socket: net.Socket): void {
  const receiver = new Receiver(settings.blockLength);
  const request = (block: BlockRef): void =>
    wire.request(block.index, block.offset, block.length, (error, bytes) => {
      if (error !== null) throw error;
      receiver.target(block).set(bytes!);
      const last = receiver.arrived(block);
      if (!last) return receiver.fill(request);
      clock.stop();
      socket.destroy();
    });
  wire.on('unchoke', () => {
    clock.start();
    receiver.fill(request);
  });
}

import { once } from 'node:events';
import net from 'node:net';
import { randomBytes } from 'node:crypto';
import Protocol from 'bittorrent-protocol';
import { describe, expect, test } from 'vitest';
import type { BlockRef } from '#swarm/wire/wire.ts';
import {
  dial,
  INFO_HASH,
  KEY,
  listenAnywhere,
  listening,
  makeTransport,
  RecordingHandler,
  securedBy,
} from './fixture.ts';

const DATA = randomBytes(65_536);
const STOCK_ID = Buffer.from('-WW0000-abcdefghijkl');

/** A stock client's end of a connection. */
function stockWire(stack: AsyncDisposableStack, socket: net.Socket, fast: boolean): Protocol {
  const wire = new Protocol();
  stack.defer(() => void socket.destroy());
  socket.on('error', () => {});
  wire.on('handshake', () => {});
  socket.pipe(wire).pipe(socket);
  wire.handshake(INFO_HASH, STOCK_ID, { fast });
  return wire;
}

async function stockDials(
  stack: AsyncDisposableStack,
  port: number,
  fast = true,
): Promise<{ wire: Protocol; socket: net.Socket }> {
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return { wire: stockWire(stack, socket, fast), socket };
}

function requestOf(wire: Protocol, { index, offset, length }: BlockRef): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  wire.request(index, offset, length, (error, bytes) => (error === null ? resolve(bytes!) : reject(error)));
  return promise;
}

describe.each([true, false])('a stock client (fast extension: %s)', (fast) => {
  test('that is admitted gets blocks from a Shoal peer', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack, { ...securedBy(KEY), admitStrangers: true });
    const { wire: stock } = await stockDials(stack, port, fast);
    const { wire, handler } = await accepted;
    expect([wire.member, wire.fast]).toEqual([false, fast]);
    handler.answer = (ref): void => {
      wire.piece(ref, DATA.subarray(ref.offset, ref.offset + ref.length));
    };
    const haves = once(stock, 'bitfield');
    wire.bitfield(Buffer.of(0x80));
    wire.unchoke();
    await Promise.all([haves, once(stock, 'unchoke'), handler.until('extended')]);
    expect(stock.peerExtendedMapping).toEqual({ ut_metadata: 1 });
    expect(wire.blockLength).toBe(16_384);
    const parts = await Promise.all(
      [0, 1, 2, 3].map((i) => requestOf(stock, { index: 0, offset: i * 16_384, length: 16_384 })),
    );
    expect(Buffer.concat(parts).equals(DATA)).toBe(true);
  });

  test('gives blocks to a Shoal peer that dials it', async () => {
    await using stack = new AsyncDisposableStack();
    const server = net.createServer((socket) => {
      const stock = stockWire(stack, socket, fast);
      stock.on('handshake', () => {
        stock.bitfield(Buffer.of(0x80));
        stock.unchoke();
      });
      stock.on('request', (_, offset, length, respond) =>
        respond(null, DATA.subarray(offset, offset + length)),
      );
    });
    const port = await listenAnywhere(stack, server);
    const transport = stack.use(makeTransport({ ...securedBy(KEY), admitStrangers: true }));
    const { wire, handler } = await dial(transport, port, 'stranger');
    expect([wire.member, wire.fast, wire.peerId]).toEqual([false, fast, STOCK_ID]);
    await handler.until('unchoke');
    expect(await handler.until('bitfield')).toEqual(['bitfield', '80']);
    const received = Buffer.alloc(DATA.length);
    wire.interested();
    for (let offset = 0; offset < DATA.length; offset += 16_384) {
      handler.targets.set(`0/${offset}`, received.subarray(offset, offset + 16_384));
      wire.request({ index: 0, offset, length: 16_384 });
    }
    await expect.poll(() => handler.count('block')).toBe(4);
    expect(received.equals(DATA)).toBe(true);
  });

  test('that is choked has its requests dropped or rejected, and may go on', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack);
    const { wire: stock } = await stockDials(stack, port, fast);
    const { wire, handler } = await accepted;
    wire.unchoke();
    await once(stock, 'unchoke');
    const block = { index: 0, offset: 0, length: 16_384 };
    const refused = requestOf(stock, block).catch(String);
    await handler.until('request');
    wire.choke();
    wire.reject(block);
    expect(await refused).toMatch(/Error/u);
    wire.unchoke();
    await once(stock, 'unchoke');
    const answer = requestOf(stock, block);
    await expect.poll(() => handler.count('request')).toBe(2);
    wire.piece(block, DATA.subarray(0, 16_384));
    expect(Buffer.from(await answer).equals(DATA.subarray(0, 16_384))).toBe(true);
  });
});

test('a stock client that is not admitted is cut without a byte', async () => {
  await using stack = new AsyncDisposableStack();
  const { port } = await listening(stack, securedBy(KEY));
  const { socket } = await stockDials(stack, port);
  let received = 0;
  socket.on('data', (chunk: Buffer) => (received += chunk.length));
  await once(socket, 'close');
  expect(received).toBe(0);
});

test('a stock client learns the size of the info dictionary and can ask for it (BEP 9)', async () => {
  await using stack = new AsyncDisposableStack();
  const handler = new RecordingHandler();
  const { port } = await listening(stack, {
    accept: () => (wire) => wire.start(handler, { metadataSize: 321, uploadOnly: true }),
  });
  const { wire: stock } = await stockDials(stack, port);
  await once(stock, 'extended');
  expect(stock.peerExtendedHandshake).toMatchObject({ metadata_size: 321, upload_only: 1, reqq: 512 });
  stock.extended('ut_metadata', { msg_type: 0, piece: 0 });
  const [, payload] = await handler.until('ut_metadata');
  expect(Buffer.from(String(payload), 'hex').toString()).toBe('d8:msg_typei0e5:piecei0ee');
});

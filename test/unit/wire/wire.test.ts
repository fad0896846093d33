import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { MAX_QUEUED_BYTES } from '#swarm/wire/defaults.ts';
import { encodeHandshake } from '#swarm/wire/handshake.ts';
import { encodeBlockRef, encodeHave, encodePieceHead, MESSAGE } from '#swarm/wire/message-encoder.ts';
import { decodePieceIndex, encodePieceIndex, EXTENSION } from '#swarm/wire/shoal-messages.ts';
import type { BlockRef } from '#swarm/wire/wire.ts';
import {
  connectedPair,
  dial,
  INFO_HASH,
  listening,
  makeTransport,
  rawSocket,
  RecordingHandler,
} from './fixture.ts';

const HANDSHAKE = encodeHandshake(INFO_HASH, Buffer.alloc(20, 1));
const block = (index: number, offset = 0, length = 16_384): BlockRef => ({ index, offset, length });

describe('a wire between two Shoal peers', () => {
  test('carries every message, both ways', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    for (const [from, to] of [
      [dialer, listener],
      [listener, dialer],
    ] as const) {
      await from.handler.until('extended');
      const { wire } = from;
      wire.bitfield(Buffer.from('f0', 'hex'));
      wire.haveAll();
      wire.haveNone();
      wire.unchoke();
      wire.interested();
      wire.have(0xffff_ffff);
      wire.request(block(1));
      wire.cancel(block(1));
      wire.extension(EXTENSION.want, encodePieceIndex(7));
      wire.uninterested();
      wire.choke();
      await to.handler.until('choke');
      expect(to.handler.events.filter(([name]) => name !== 'extended')).toEqual([
        ['bitfield', 'f0'],
        ['haveAll'],
        ['haveNone'],
        ['unchoke'],
        ['interested'],
        ['have', 0xffff_ffff],
        ['request', block(1)],
        ['cancel', block(1)],
        [EXTENSION.want, '00000007'],
        ['uninterested'],
        ['choke'],
      ]);
      to.wire.reject(block(1));
      expect(await from.handler.until('reject')).toEqual(['reject', block(1)]);
      from.handler.events.length = 0;
    }
  });

  test('agrees on the smaller of both block lengths', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack, {}, { blockLength: 65_536 });
    const dialer = await dial(stack.use(makeTransport({}, { blockLength: 262_144 })), port);
    const listener = await accepted;
    await Promise.all([dialer.handler.until('extended'), listener.handler.until('extended')]);
    expect([dialer.wire.blockLength, listener.wire.blockLength]).toEqual([65_536, 65_536]);
    expect(dialer.handler.handshake?.shoal).toEqual({ role: 'agent', blockLength: 65_536 });
    dialer.wire.request(block(0, 0, 65_537));
    const [, error] = await listener.handler.until('close');
    expect(String(error)).toContain('1 to 65536 allowed');
  });

  test('moves blocks as they are, to where they are wanted, and drops the others', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    await Promise.all([dialer.handler.until('extended'), listener.handler.until('extended')]);
    const data = randomBytes(131_072 * 20);
    const received = Buffer.alloc(data.length);
    listener.handler.answer = (ref): void => {
      const { index, length } = ref;
      listener.wire.piece(ref, data.subarray(index * length, (index + 1) * length));
    };
    for (let index = 0; index < 20; index++) {
      if (index !== 5)
        dialer.handler.targets.set(`${index}/0`, received.subarray(index * 131_072, (index + 1) * 131_072));
      dialer.wire.request(block(index, 0, 131_072));
    }
    await expect.poll(() => dialer.handler.count('block')).toBe(19);
    data.fill(0, 5 * 131_072, 6 * 131_072);
    expect(received.equals(data)).toBe(true);
  });

  test('sends no block that nobody waits for', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    dialer.handler.targets.set('1/0', Buffer.alloc(16_384));
    expect(listener.wire.piece(block(1), Buffer.alloc(16_384))).toBe(true);
    dialer.wire.request(block(1));
    dialer.wire.request(block(1)); // twice is once
    await listener.handler.until('request');
    listener.wire.piece(block(1), Buffer.alloc(16_384, 1));
    listener.wire.piece(block(1), Buffer.alloc(16_384, 2));
    listener.wire.choke();
    await dialer.handler.until('choke');
    expect([listener.handler.count('request'), dialer.handler.count('block')]).toEqual([1, 1]);
  });

  test('keeps the order of what is said in one tick, with payload and without', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    await Promise.all([dialer.handler.until('extended'), listener.handler.until('extended')]);
    dialer.wire.request({ ...block(1), length: 2 });
    dialer.handler.targets.set('1/0', Buffer.alloc(2));
    await listener.handler.until('request');
    listener.wire.have(1);
    listener.wire.have(2);
    listener.wire.piece({ ...block(1), length: 2 }, Buffer.of(1, 2));
    listener.wire.have(3);
    listener.wire.extension(EXTENSION.hashes, Buffer.of(4));
    listener.wire.choke();
    await dialer.handler.until('choke');
    const names = dialer.handler.events.map(([name]) => name).filter((name) => name !== 'extended');
    expect(names).toEqual(['have', 'have', 'block', 'have', EXTENSION.hashes, 'choke']);
  });

  test('drops an extension message that the other side does not know', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    await dialer.handler.until('extended');
    dialer.wire.extension('shoal_no_such', Buffer.of(1));
    dialer.wire.extension(EXTENSION.hashes, Buffer.of(2));
    expect(await listener.handler.until(EXTENSION.hashes)).toEqual([EXTENSION.hashes, '02']);
    expect(() => decodePieceIndex(Buffer.of(2))).toThrow('4 allowed');
  });

  test('tells the end exactly once, on both sides, and then is silent', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    dialer.wire.close(new Error('enough'));
    dialer.wire.close();
    dialer.wire.have(1);
    expect(dialer.handler.events.at(-1)).toEqual(['close', new Error('enough')]);
    expect(await listener.handler.until('close')).toEqual(['close', undefined]);
    listener.wire.close();
    expect([dialer.handler.count('close'), listener.handler.count('close')]).toEqual([1, 1]);
  });

  test('tells the end to a handler that comes too late', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack);
    const transport = stack.use(makeTransport());
    const wire = await transport.dial(
      { host: '127.0.0.1', port, infoHash: INFO_HASH, role: 'agent' },
      AbortSignal.timeout(5000),
    );
    (await accepted).wire.close();
    const handler = new RecordingHandler();
    await new Promise((resolve) => setTimeout(resolve, 50));
    wire.start(handler);
    expect(await handler.until('close')).toEqual(['close', undefined]);
  });

  test('is closed by an error of its handler, which learns of it', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    listener.handler.onHave = () => {
      throw new Error('a bug');
    };
    dialer.wire.have(1);
    expect(await listener.handler.until('close')).toEqual(['close', new Error('a bug')]);
  });

  test('is kept alive when quiet, and given up when the other side is dead', async () => {
    await using stack = new AsyncDisposableStack();
    const timings = { keepAliveMs: 100, idleMs: 400 };
    const { dialer, listener } = await connectedPair(stack, {}, { timings });
    const dead = await listening(stack, {}, { timings });
    const socket = await rawSocket(stack, dead.port);
    socket.write(HANDSHAKE);
    const { handler } = await dead.accepted;
    const [, error] = await handler.until('close');
    expect(String(error)).toContain('nothing heard for 400 ms');
    expect(dialer.handler.count('close') + listener.handler.count('close')).toBe(0);
  });

  test('a stopped transport leaves nothing open', async () => {
    await using stack = new AsyncDisposableStack();
    const { dialer, listener } = await connectedPair(stack);
    await stack.disposeAsync();
    const ends = await Promise.all([dialer.handler.until('close'), listener.handler.until('close')]);
    expect(ends).toEqual([
      ['close', undefined],
      ['close', undefined],
    ]);
  });
});

describe('a peer that does not behave', () => {
  test('that does not read gets no more than the bound, and what waited when it reads again', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack);
    const socket = await rawSocket(stack, port);
    socket.pause();
    socket.write(HANDSHAKE);
    const { wire, handler } = await accepted;
    for (let index = 0; index < 512; index++) socket.write(encodeBlockRef(MESSAGE.request, block(index)));
    await expect.poll(() => handler.count('request')).toBe(512);
    let sent = 1;
    while (wire.piece(block(sent - 1), Buffer.alloc(16_384))) {
      sent++;
      await new Promise(setImmediate);
    }
    expect(wire.queuedBytes).toBeGreaterThan(0);
    expect(wire.queuedBytes).toBeLessThan(1024 * 1024);
    expect(handler.count('drain')).toBe(0);
    let received = 0;
    socket.on('data', (chunk: Buffer) => (received += chunk.length));
    socket.resume();
    await handler.until('drain');
    await expect.poll(() => received).toBeGreaterThan(sent * 16_384);
    expect(wire.queuedBytes).toBe(0);
  });

  test('that makes small messages pile up is cut off', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack);
    const socket = await rawSocket(stack, port);
    socket.pause();
    socket.write(HANDSHAKE);
    const { wire, handler } = await accepted;
    while (handler.count('close') === 0) {
      for (let index = 0; index < 1000; index++) wire.bitfield(Buffer.alloc(1000));
      expect(wire.queuedBytes).toBeLessThan(MAX_QUEUED_BYTES + 2_000_000);
      await new Promise(setImmediate);
    }
    expect(String(handler.events.at(-1)?.[1])).toContain('does not read');
  });

  test.each([
    [
      'asks for too many blocks at once',
      () => Buffer.concat(Array.from({ length: 513 }, (_, i) => encodeBlockRef(MESSAGE.request, block(i)))),
      'more than 512',
    ],
    ['asks for an empty block', () => encodeBlockRef(MESSAGE.request, block(0, 0, 0)), '1 to 16384 allowed'],
    [
      'asks for a block that strangers may not',
      () => encodeBlockRef(MESSAGE.request, block(0, 0, 16_385)),
      '1 to 16384 allowed',
    ],
    ['asks far outside a piece', () => encodeBlockRef(MESSAGE.request, block(0, 0xffff_0000)), 'offset'],
    ['sends a huge message', () => Buffer.from('ffffffff07', 'hex'), 'allowed'],
    ['sends no bencode', () => Buffer.from('00000004140078', 'hex').subarray(0, 6).fill(3, 3, 4), 'bencoded'],
  ])('that %s is cut off', async (_, bytes, reason) => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack);
    const socket = await rawSocket(stack, port);
    socket.resume();
    socket.write(Buffer.concat([HANDSHAKE, bytes(), Buffer.from('x')]));
    const { handler } = await accepted;
    expect(String((await handler.until('close'))[1])).toContain(reason);
    await once(socket, 'close');
  });

  test('may send what nobody asked for, which is dropped', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack);
    const socket = await rawSocket(stack, port);
    socket.write(Buffer.concat([HANDSHAKE, encodePieceHead(block(1)), Buffer.alloc(16_384), encodeHave(3)]));
    const { handler } = await accepted;
    await handler.until('have');
    expect(handler.count('block')).toBe(0);
  });
});

test('accepted sockets are read through the shared buffer on this version of Node', async () => {
  await using stack = new AsyncDisposableStack();
  const { port, accepted } = await listening(stack);
  const socket = await rawSocket(stack, port);
  socket.write(HANDSHAKE);
  const { handler } = await accepted;
  const before = process.memoryUsage().arrayBuffers;
  socket.write(Buffer.concat([encodePieceHead(block(1, 0, 262_144)), Buffer.alloc(262_144), encodeHave(3)]));
  await handler.until('have');
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(600_000); // the test's own two buffers
});

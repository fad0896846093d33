import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HandshakeError } from '#swarm/wire/errors.ts';
import { createPeerId, decodeHandshake, encodeHandshake } from '#swarm/wire/handshake.ts';
import {
  dial,
  exchange,
  INFO_HASH,
  KEY,
  listenAnywhere,
  listening,
  makeTransport,
  nextBytes,
  OTHER_KEY,
  rawSocket,
  securedBy,
} from './fixture.ts';

const STRANGER = encodeHandshake(INFO_HASH, Buffer.alloc(20, 1));
const NOTHING = Buffer.alloc(0);

/** As docs/wire.md says. */
function mac(label: string, ...nonces: Buffer[]): Buffer {
  const message = Buffer.concat([Buffer.from(`shoal preamble 1 ${label}\0`), ...nonces]);
  return createHmac('sha256', KEY).update(message).digest();
}

/** Records what a dialer with the right key sends first. */
async function recordHello(stack: AsyncDisposableStack): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes: Buffer) => {
      resolve(bytes);
      socket.destroy();
    });
  });
  const port = await listenAnywhere(stack, server);
  await expect(dial(stack.use(makeTransport(securedBy(KEY))), port)).rejects.toThrow(HandshakeError);
  return promise;
}

describe('a listener of a cluster with a key', () => {
  test('makes a wire with who knows the key, and says that it is a member', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack, securedBy(KEY));
    const { wire } = await dial(stack.use(makeTransport(securedBy(KEY))), port);
    const listener = await accepted;
    expect([wire.member, listener.wire.member]).toEqual([true, true]);
    expect([wire.outgoing, listener.wire.outgoing]).toEqual([true, false]);
    expect(listener.wire.infoHash).toEqual(INFO_HASH);
  });

  test('sends no byte to who has another key', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, refusals } = await listening(stack, securedBy(KEY), { handshakeTimeoutMs: 300 });
    const { port: otherPort } = await listening(stack, securedBy(OTHER_KEY));
    const hello = await recordHello(stack);
    expect((await exchange(port, hello)).length).toBeGreaterThan(0); // the hello is good, where the key is
    expect(await exchange(otherPort, hello)).toEqual(NOTHING);
    await expect(dial(stack.use(makeTransport(securedBy(OTHER_KEY))), port)).rejects.toThrow(HandshakeError);
    expect(refusals.map(String).join()).toContain('does not know the cluster key');
  });

  test('gives a replayed first message a challenge that a replay cannot answer', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, transport } = await listening(stack, securedBy(KEY), { handshakeTimeoutMs: 300 });
    const hello = await recordHello(stack);
    const first = await exchange(port, hello);
    const second = await exchange(port, hello);
    expect(first.subarray(0, 32)).not.toEqual(second.subarray(0, 32));
    // Neither its own answer nor the first MAC passes for the dialer's proof.
    for (const proof of [first.subarray(32), second.subarray(32), hello.subarray(38)])
      expect((await exchange(port, Buffer.concat([hello, proof, STRANGER]))).length).toBe(64);
    expect(transport.size).toBe(0);
  });

  test('takes the preamble byte by byte, and the proof as it is documented', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack, securedBy(KEY));
    const socket = await rawSocket(stack, port);
    const nonce = Buffer.alloc(32, 9);
    for (const byte of Buffer.concat([Buffer.from('Shoal\u0001'), nonce, mac('hello', nonce)])) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    const answer = await nextBytes(socket);
    const challenge = answer.subarray(0, 32);
    expect(answer.subarray(32)).toEqual(mac('listener', nonce, challenge));
    socket.write(Buffer.concat([mac('dialer', nonce, challenge), STRANGER]));
    expect((await accepted).wire.member).toBe(true);
  });

  test('cuts a stock client without an answer, unless strangers are admitted', async () => {
    await using stack = new AsyncDisposableStack();
    const closed = await listening(stack, securedBy(KEY));
    expect(await exchange(closed.port, STRANGER)).toEqual(NOTHING);
    const open = await listening(stack, { ...securedBy(KEY), admitStrangers: true });
    const socket = await rawSocket(stack, open.port);
    socket.write(STRANGER);
    const answer = await nextBytes(socket);
    expect(decodeHandshake(answer.subarray(0, 68)).infoHash).toEqual(INFO_HASH);
    expect((await open.accepted).wire.member).toBe(false);
  });

  test('cuts whatever else is said to it without an answer', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, transport } = await listening(
      stack,
      { ...securedBy(KEY), admitStrangers: true },
      { handshakeTimeoutMs: 200 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        fc.pre(bytes[0] !== 0x16); // TLS answers with an alert
        expect(await exchange(port, bytes)).toEqual(NOTHING);
      }),
      { numRuns: 40 },
    );
    expect(transport.size).toBe(0);
  });
});

describe('a wire over TLS', () => {
  test('is what a dialer makes with an origin, and carries blocks', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack, { ...securedBy(KEY), role: 'origin' });
    const dialer = await dial(stack.use(makeTransport(securedBy(KEY))), port, 'origin');
    const listener = await accepted;
    await Promise.all([dialer.handler.until('extended'), listener.handler.until('extended')]);
    expect(dialer.handler.handshake?.shoal?.role).toBe('origin');
    expect([dialer.wire.member, listener.wire.member]).toEqual([true, true]);
    const block = { index: 3, offset: 16_384, length: 100_000 };
    const data = Buffer.alloc(block.length, 'block');
    const target = Buffer.alloc(block.length);
    dialer.handler.targets.set('3/16384', target);
    dialer.wire.request(block);
    await listener.handler.until('request');
    listener.wire.piece(block, data);
    await dialer.handler.until('block');
    expect(target.equals(data)).toBe(true);
  });

  test('is not made with another key', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, transport } = await listening(stack, securedBy(KEY));
    await expect(dial(stack.use(makeTransport(securedBy(OTHER_KEY))), port, 'origin')).rejects.toThrow(
      HandshakeError,
    );
    expect(transport.size).toBe(0);
  });

  test('is not offered where security is off', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, refusals } = await listening(stack);
    await expect(dial(stack.use(makeTransport(securedBy(KEY))), port, 'origin')).rejects.toThrow(
      HandshakeError,
    );
    expect(refusals.map(String).join()).toContain('0x16');
  });
});

describe('handshakes', () => {
  test.each([
    ['says nothing', NOTHING],
    ['stops within the preamble', Buffer.from('Shoal')],
    ['stops within the BEP 3 handshake', STRANGER.subarray(0, 40)],
    ['stops within the TLS handshake', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00])],
  ])('a peer that %s is cut', async (_, bytes) => {
    await using stack = new AsyncDisposableStack();
    const { port, refusals } = await listening(
      stack,
      { ...securedBy(KEY), admitStrangers: true },
      { handshakeTimeoutMs: 200 },
    );
    const socket = await rawSocket(stack, port);
    if (bytes.length > 0) socket.write(bytes);
    socket.resume();
    await once(socket, 'close');
    await expect.poll(() => refusals.map(String)).toEqual(['HandshakeError: no handshake within 200 ms']);
  });

  test('a peer that sends much before its handshake was answered is cut', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, refusals } = await listening(stack, securedBy(KEY));
    const socket = await rawSocket(stack, port);
    socket.write('Shoal');
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.write(Buffer.alloc(4_000_000));
    await expect.poll(() => refusals.map(String).join()).toContain('more than 65536 bytes');
  });

  test('one that trickles on for ever is cut', async () => {
    await using stack = new AsyncDisposableStack();
    const { port } = await listening(stack, { admitStrangers: true }, { handshakeTimeoutMs: 300 });
    const socket = await rawSocket(stack, port);
    socket.resume();
    let position = 0;
    const trickle = setInterval(() => socket.write(STRANGER.subarray(position, ++position)), 30);
    stack.defer(() => clearInterval(trickle));
    await once(socket, 'close');
    expect(position).toBeLessThan(STRANGER.length);
  });

  test('more at once than allowed are cut, and room comes back', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, accepted } = await listening(stack, {}, { maxPendingHandshakes: 2 });
    const idle = [await rawSocket(stack, port), await rawSocket(stack, port)];
    expect(await exchange(port, STRANGER)).toEqual(NOTHING);
    for (const socket of idle) socket.destroy();
    await expect
      .poll(() =>
        dial(makeTransport(), port).then(
          () => 'made',
          () => 'cut',
        ),
      )
      .toBe('made');
    expect((await accepted).wire.outgoing).toBe(false);
  });

  test('nobody answers for an unknown info-hash, and the dialer is told so', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, refusals } = await listening(stack, { accept: () => undefined });
    await expect(dial(stack.use(makeTransport()), port)).rejects.toThrow(/no handshake/u);
    expect(refusals.map(String).join()).toContain(INFO_HASH.toString('hex'));
  });

  test('a transport does not talk to itself', async () => {
    await using stack = new AsyncDisposableStack();
    const { port, transport } = await listening(stack);
    await expect(dial(transport, port)).rejects.toThrow(HandshakeError);
    expect(transport.size).toBe(0);
  });

  test('dialling ends with its signal, at a dead port and when stopped', async () => {
    await using stack = new AsyncDisposableStack();
    const port = await listenAnywhere(stack, net.createServer());
    const transport = stack.use(makeTransport());
    const target = { host: '127.0.0.1', port, infoHash: INFO_HASH, role: 'agent' } as const;
    const controller = new AbortController();
    const aborted = transport.dial(target, controller.signal);
    const stopped = transport.dial(target, AbortSignal.timeout(60_000));
    controller.abort(new Error('changed my mind'));
    await expect(aborted).rejects.toThrow('changed my mind');
    await expect(transport.dial({ ...target, port: 1 }, AbortSignal.timeout(60_000))).rejects.toThrow(
      /ECONNREFUSED/u,
    );
    await Promise.all([expect(stopped).rejects.toThrow('stopped'), transport[Symbol.asyncDispose]()]);
    await expect(transport.dial(target, AbortSignal.timeout(60_000))).rejects.toThrow('stopped');
  });

  test('strangers are not dialled where they are not admitted', async () => {
    await using stack = new AsyncDisposableStack();
    await expect(dial(stack.use(makeTransport(securedBy(KEY))), 1, 'stranger')).rejects.toThrow(
      'not admitted',
    );
  });

  test('any 68 bytes are a handshake or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        expect(() => decodeHandshake(Buffer.from(bytes))).toThrow(HandshakeError);
      }),
    );
    const peerId = createPeerId(Buffer.alloc(12, 1));
    expect(peerId.subarray(0, 8).toString()).toBe('-SH0100-');
    expect(decodeHandshake(encodeHandshake(INFO_HASH, peerId))).toEqual({
      infoHash: INFO_HASH,
      peerId,
      extended: true,
      fast: true,
      shoal: true,
    });
  });
});

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { generateSigningKey } from '#service/signing.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import { signBatch } from '#swarm/hashes/batch.ts';
import { REQUEST_TIMEOUT_MS, SNUB_MS } from '#swarm/session/defaults.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import {
  encodeBlockRef,
  encodeHave,
  encodePieceHead,
  encodeBitfieldHead,
  MESSAGE,
} from '#swarm/wire/message-encoder.ts';
import { deterministicBytes } from '../../support/bytes.ts';
import { InjectingProxy } from './injecting-proxy.ts';
import { honestly, RawPeer } from './raw-peer.ts';
import { type Member, pieceOf, readAll, readBytes, SwarmFixture, TestClock } from './swarm-fixture.ts';

const PIECE = 256 * 1024;
const PIECES = 6;
const blob = deterministicBytes('hostile', PIECES * PIECE - 77);
const request = { digest: digestOf(blob), scope: 'registry.example', size: blob.length };
const pieces = Array.from({ length: PIECES }, (_, index) => pieceOf(blob, index));
const deadline = (): AbortSignal => AbortSignal.timeout(15_000);

/** An agent that wants the blob and knows its hashes, and nobody who has it. */
class Scene implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly clock = new TestClock();
  fixture!: SwarmFixture;
  agent!: Member;
  torrent!: Torrent;

  static async set(): Promise<Scene> {
    const scene = new Scene();
    scene.fixture = scene.#stack.use(await SwarmFixture.start());
    scene.agent = await scene.fixture.member('agent', { clock: scene.clock });
    scene.torrent = await scene.agent.swarm.engine.torrent(request);
    return scene;
  }

  get batch(): Buffer {
    return this.fixture.sign(request.digest, request.scope, blob.length, pieces);
  }

  async raw(
    options?: ConstructorParameters<typeof RawPeer>[0],
    port = this.agent.swarm.port,
  ): Promise<RawPeer> {
    return this.#stack.use(await RawPeer.connect(port, this.torrent.swarmId, options));
  }

  /** A raw peer with a hand in its connection. */
  async forged(
    options?: ConstructorParameters<typeof RawPeer>[0],
  ): Promise<{ peer: RawPeer; proxy: InjectingProxy }> {
    const proxy = this.#stack.use(await InjectingProxy.start(this.agent.swarm.port));
    return { peer: await this.raw(options, proxy.port), proxy };
  }

  async honest(): Promise<RawPeer> {
    const peer = await this.raw({ answer: honestly(blob), hashes: () => this.batch });
    peer.offer(PIECES);
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

describe('an agent and a slow peer', () => {
  it('asks nobody else for what is coming, though its reader waits, but once for the end of the first piece', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const { peer, proxy } = await scene.forged();
    peer.offer(PIECES, [0]);
    await expect.poll(() => peer.requests.length).toBe(2);
    const other = await scene.raw();
    other.offer(PIECES, [0]);
    const read = readBytes(scene.torrent, 0, PIECE, deadline());
    for (const { index, offset, length } of peer.requests) {
      proxy.inject(encodePieceHead({ index, offset, length }));
      for (let at = offset; at < offset + length; at += 16 * 1024) {
        proxy.inject(blob.subarray(at, at + 16 * 1024));
        await sleep(60);
      }
    }
    expect((await read).equals(blob.subarray(0, PIECE))).toBe(true);
    expect(other.requests.filter(({ index }) => index === 0)).toEqual([
      { index: 0, offset: PIECE / 2, length: PIECE / 2 },
    ]);
  });
});

describe('an agent among hostile members', () => {
  it('drops who sends a bad piece, does not let it in again, and completes from others', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const liar = await scene.raw({ answer: ({ length }) => randomBytes(length) });
    liar.offer(PIECES);
    const pull = readAll(scene.torrent, deadline());
    expect(await liar.closed).toBeUndefined();
    expect(scene.agent.counts.failed).toBeGreaterThan(0);
    await scene.honest();
    expect(await pull).toBe(request.digest);
    expect(scene.torrent.sources.peer).toBe(blob.length);
    await liar.redial(scene.agent.swarm.port, scene.torrent.swarmId);
    await liar.closed;
    expect(scene.torrent.connections.size).toBe(1);
  });

  it('finds out who of several sent the bad part of a piece, and keeps the others', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const liar = await scene.raw({
      answer: (block) => (block.offset === 0 ? randomBytes(block.length) : undefined),
    });
    liar.offer(PIECES, [0]);
    await expect.poll(() => liar.requests.length).toBeGreaterThan(1);
    const honest = await scene.honest();
    await expect.poll(() => scene.agent.counts.failed).toBeGreaterThan(0);
    scene.clock.skip(REQUEST_TIMEOUT_MS + 1);
    expect(await readAll(scene.torrent, deadline())).toBe(request.digest);
    await liar.closed;
    expect(honest.isClosed).toBe(false);
  });

  it.each([
    ['signed by nobody it trusts', () => forged(generateSigningKey())],
    ['cut short', (scene: Scene) => scene.batch.subarray(0, 100)],
    [
      'of another blob',
      (scene: Scene) => scene.fixture.sign(digestOf('other'), request.scope, blob.length, pieces),
    ],
    [
      'changed after it was signed',
      (scene: Scene) => {
        const batch = scene.batch;
        batch[batch.length - 200]! ^= 1;
        return batch;
      },
    ],
  ])('drops who sends hashes %s', async (_what, batch) => {
    await using scene = await Scene.set();
    const liar = await scene.raw({ hashes: () => batch(scene), answer: honestly(blob) });
    liar.offer(PIECES);
    await liar.closed;
    await scene.honest();
    expect(await readAll(scene.torrent, deadline())).toBe(request.digest);
  });

  it.each([
    ['a have beyond the last piece', [encodeHave(PIECES)]],
    ['a have far out', [encodeHave(2 ** 32 - 1)]],
    ['a bitfield too long', [encodeBitfieldHead(2), Buffer.of(0, 0)]],
    ['a bitfield with a spare bit', [encodeBitfieldHead(1), Buffer.of(1)]],
  ])('drops who sends %s', async (_what, messages) => {
    await using scene = await Scene.set();
    const { peer, proxy } = await scene.forged();
    proxy.inject(...messages);
    await peer.closed;
    await scene.honest();
    expect(await readAll(scene.torrent, deadline())).toBe(request.digest);
  });

  it.each([
    ['of a piece beyond the last', { index: PIECES, offset: 0, length: 16_384 }],
    ['across the end of a piece', { index: 0, offset: PIECE - 1, length: 16_384 }],
    ['across the end of the blob', { index: PIECES - 1, offset: PIECE - 16_384, length: 16_384 }],
  ])('drops who asks for a block %s', async (_what, block) => {
    await using scene = await Scene.set();
    scene.fixture.feed(scene.torrent, blob);
    await scene.torrent.whenComplete(deadline());
    const peer = await scene.raw();
    peer.wire.interested();
    await expect.poll(() => peer.choked).toBe(false);
    peer.wire.request({ index: 0, offset: 0, length: 16_384 });
    await expect.poll(() => peer.received.length).toBe(1);
    peer.wire.request(block);
    await peer.closed;
    expect(peer.received).toHaveLength(1);
  });

  it('answers no request while it chokes, and none for what it does not have', async () => {
    await using scene = await Scene.set();
    scene.fixture.feed(scene.torrent, blob, 0, 2);
    const peer = await scene.raw();
    // It has called, and so may ask before it says that it wants to.
    await expect.poll(() => peer.choked).toBe(false);
    peer.wire.uninterested();
    await expect.poll(() => peer.choked).toBe(true);
    peer.wire.request({ index: 0, offset: 0, length: 16_384 });
    await expect.poll(() => peer.rejected.length).toBe(1);
    peer.wire.interested();
    await expect.poll(() => peer.choked).toBe(false);
    peer.wire.request({ index: 4, offset: 0, length: 16_384 });
    await expect.poll(() => peer.rejected.length).toBe(2);
    expect(peer.received).toEqual([]);
    expect(peer.isClosed).toBe(false);
  });

  it('takes no block that it did not ask for, nor one longer than it asked for', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const { peer, proxy } = await scene.forged();
    const block = { index: 0, offset: 0, length: 128 * 1024 };
    proxy.inject(encodePieceHead(block), randomBytes(block.length));
    peer.offer(PIECES, [0]);
    await expect.poll(() => peer.requests.length).toBe(2);
    const longer = { ...block, length: 2 * block.length };
    proxy.inject(encodePieceHead(longer), randomBytes(longer.length));
    await scene.honest();
    expect(await readAll(scene.torrent, deadline())).toBe(request.digest);
    expect(scene.agent.counts.failed).toBe(0);
  });

  it('loses nothing by a reject of more than it asked for', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const { peer, proxy } = await scene.forged();
    peer.offer(PIECES);
    await expect.poll(() => peer.requests.length).toBeGreaterThan(0);
    const asked = peer.requests[0]!;
    for (const lie of [
      { ...asked, length: 2 ** 32 - 1 },
      { ...asked, length: 1 },
      { index: asked.index - 1, offset: asked.offset + 2 ** 28, length: asked.length },
      { index: 2 ** 32 - 1, offset: 2 ** 32 - 1, length: 2 ** 32 - 1 },
    ].filter(({ index }) => index >= 0))
      proxy.inject(encodeBlockRef(MESSAGE.reject, lie));
    await scene.honest();
    expect(await readAll(scene.torrent, deadline())).toBe(request.digest);
    expect(peer.isClosed).toBe(false);
  });

  it('does not ask again and again who rejects everything', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const refuser = await scene.raw({ answer: () => 'reject' });
    refuser.offer(PIECES);
    await expect.poll(() => refuser.requests.length).toBeGreaterThanOrEqual(PIECES);
    await scene.honest();
    expect(await readAll(scene.torrent, deadline())).toBe(request.digest);
    expect(refuser.requests.length).toBeLessThanOrEqual(4 * PIECES);
  });

  it('takes back what is not answered, asks others, and the silent one again only after a while', async () => {
    await using scene = await Scene.set();
    scene.torrent.batches.add(scene.batch);
    const silent = await scene.raw();
    silent.offer(PIECES);
    await expect.poll(() => silent.requests.length).toBeGreaterThan(0);
    const asked = silent.requests.length;
    scene.clock.skip(REQUEST_TIMEOUT_MS + 1);
    await expect.poll(() => silent.cancelled.length).toBe(asked);
    expect(silent.requests).toHaveLength(asked);
    const pull = readAll(scene.torrent, deadline());
    scene.clock.skip(SNUB_MS + 1);
    await expect.poll(() => silent.requests.length).toBeGreaterThan(asked);
    await scene.honest();
    expect(await pull).toBe(request.digest);
  });

  it('bounds what it takes in while nobody tells the hashes', async () => {
    await using fixture = await SwarmFixture.start();
    const large = deterministicBytes('unsigned', 40 * 1024 ** 2);
    const agent = await fixture.member('agent');
    const torrent = await agent.swarm.engine.torrent({
      ...request,
      digest: digestOf(large),
      size: large.length,
    });
    await using peer = await RawPeer.connect(agent.swarm.port, torrent.swarmId, { answer: honestly(large) });
    peer.offer(160);
    let before = -1;
    for (; before !== peer.requests.length; await new Promise((resolve) => setTimeout(resolve, 300)))
      before = peer.requests.length;
    const bytes = peer.requests.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeGreaterThan(8 * 1024 ** 2);
    expect(bytes).toBeLessThan(24 * 1024 ** 2);
    const hashes = Array.from({ length: 160 }, (_, index) => pieceOf(large, index));
    torrent.batches.add(fixture.sign(torrent.digest, torrent.scope, large.length, hashes));
    expect(await readAll(torrent, deadline())).toBe(torrent.digest);
  });
});

function forged(signer: ReturnType<typeof generateSigningKey>): Buffer {
  const size = blob.length;
  return signBatch(
    { ...request, size, pieceLength: pieceLength(size), first: 0, links: randomBytes(32 * (PIECES + 1)) },
    signer,
  );
}

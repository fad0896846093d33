import { randomBytes } from 'node:crypto';
import { generateSigningKey } from '#service/signing.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import { signBatch } from '#swarm/hashes/batch.ts';
import { encodeBitfieldHead, encodeHave, encodePieceHead } from '#swarm/wire/message-encoder.ts';
import type { BlockRef } from '#swarm/wire/wire.ts';
import { InjectingProxy } from '../unit/session/injecting-proxy.ts';
import { RawPeer } from '../unit/session/raw-peer.ts';

/** What a hostile peer has to work with. */
export interface Target {
  readonly digest: Parameters<typeof signBatch>[0]['digest'];
  readonly scope: string;
  readonly size: number;
  readonly pieces: number;
  /** A true batch, of another blob. */
  readonly otherBatch: Buffer;
}

export interface HostileKind {
  readonly name: string;
  /** Whether a victim hangs up on it; it does not on who is merely of no use. */
  readonly cut: boolean;
  readonly options?: (target: Target) => NonNullable<ConstructorParameters<typeof RawPeer>[0]>;
  /** What it does once it is let in. */
  act(peer: RawPeer, proxy: InjectingProxy, target: Target): void;
}

const NOISE = randomBytes(256 * 1024);
const BLOCK: BlockRef = { index: 0, offset: 0, length: 128 * 1024 };
const bad = ({ length }: BlockRef): Buffer => NOISE.subarray(0, length);
const offerAll = (peer: RawPeer, _proxy: InjectingProxy, { pieces }: Target): void => peer.offer(pieces);

/** An unknown message of 64 KiB, over and over, as fast as it is taken. */
function flood(proxy: InjectingProxy): void {
  const message = Buffer.alloc(4 + 1 + 60_000, 99);
  message.writeUInt32BE(message.length - 4);
  for (let times = 0; times < 500; times += 1) proxy.inject(message);
}

/** A block's head, and then one byte of it from time to time. */
function trickle(peer: RawPeer, proxy: InjectingProxy): void {
  const timer = setInterval(() => {
    if (peer.isClosed) clearInterval(timer);
    else proxy.inject(Buffer.of(0));
  }, 500);
  timer.unref();
  proxy.inject(encodePieceHead(BLOCK));
}

function forgedBatch({ digest, scope, size, pieces }: Target): Buffer {
  const links = randomBytes(32 * (pieces + 1));
  return signBatch(
    { digest, scope, size, pieceLength: pieceLength(size), first: 0, links },
    generateSigningKey(),
  );
}

/** By what each does harm. */
export const HOSTILE_KINDS: readonly HostileKind[] = [
  { name: 'sends bad pieces', cut: true, options: () => ({ answer: bad }), act: offerAll },
  {
    name: 'sends hashes that nobody signed',
    cut: true,
    options: (target) => ({ answer: bad, hashes: () => forgedBatch(target) }),
    act: offerAll,
  },
  {
    name: 'replays hashes of another blob',
    cut: true,
    options: ({ otherBatch }) => ({ answer: bad, hashes: () => otherBatch }),
    act: offerAll,
  },
  {
    name: 'claims to have what it does not give',
    cut: false,
    options: () => ({ answer: () => 'reject' }),
    act: offerAll,
  },
  {
    name: 'claims pieces that there are not',
    cut: true,
    act: (_peer, proxy) => proxy.inject(encodeHave(2 ** 32 - 1)),
  },
  {
    name: 'sends a bitfield of a wrong length',
    cut: true,
    act: (_peer, proxy) => proxy.inject(encodeBitfieldHead(100_000), Buffer.alloc(100_000, 0xff)),
  },
  {
    name: 'announces a message longer than any',
    cut: true,
    act: (_peer, proxy) => proxy.inject(Buffer.from('7fffffff07', 'hex')),
  },
  { name: 'sends blocks that nobody asked for', cut: false, act: (_peer, proxy) => flood(proxy) },
  { name: 'gives a byte now and then', cut: false, act: trickle },
  { name: 'never answers', cut: false, options: () => ({ answer: () => undefined }), act: offerAll },
  {
    name: 'asks thousands of times',
    cut: true,
    act: (peer, _proxy, { pieces }) => {
      peer.wire.interested();
      for (let at = 0; at < 4000; at += 1)
        peer.wire.request({ index: at % pieces, offset: 16_384 * (at % 15), length: 16_384 });
    },
  },
  {
    name: 'takes and never gives',
    cut: false,
    act: (peer, _proxy, { pieces }) => {
      peer.wire.interested();
      for (let index = 0; index < Math.min(pieces, 100); index += 1)
        peer.wire.request({ index, offset: 0, length: 16_384 });
    },
  },
];

/** A hostile peer that has got in with one victim; it comes from an address of its own, since addresses are banned. */
export async function attack(
  kind: HostileKind,
  target: Target,
  victim: { port: number; swarmId: Buffer; from: string },
  stack: AsyncDisposableStack,
): Promise<RawPeer> {
  const proxy = stack.use(await InjectingProxy.start(victim.port, victim.from));
  const peer = stack.use(await RawPeer.connect(proxy.port, victim.swarmId, kind.options?.(target)));
  kind.act(peer, proxy, target);
  return peer;
}

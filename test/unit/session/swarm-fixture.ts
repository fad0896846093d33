import { createHash } from 'node:crypto';
import { Agent } from 'undici';
import type { Digest } from '#registry/digest.ts';
import { digestOf } from '#registry/digest.ts';
import { loadConfig } from '#service/config/load.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey, type SigningKey } from '#service/signing.ts';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import { signBatch } from '#swarm/hashes/batch.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { type RunningSwarm, startSwarm } from '#swarm/session/start.ts';
import { type RunningTracker, startTracker } from '#tracker/tracker.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

export const logger = createLogger('test', {
  level: process.env['SHOAL_TEST_LOG'] === undefined ? 'silent' : 'debug',
});

/** A tracker and any number of swarm processes' engines within this process, all over real sockets and files. */
export class SwarmFixture implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly signer: SigningKey = generateSigningKey();
  #tracker: RunningTracker | undefined;

  static async start(): Promise<SwarmFixture> {
    const fixture = new SwarmFixture();
    const config = loadConfig('tracker', {
      flags: { security: 'off', listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' },
    });
    fixture.#tracker = fixture.#stack.use(
      await startTracker(config, {
        signal: new AbortController().signal,
        logger,
        metrics: createMetrics('tracker', { process: false }),
      }),
    );
    return fixture;
  }

  /** One more member; `directory` to start it on what an earlier one has left. */
  async member(role: 'agent' | 'origin', directory?: string): Promise<Member> {
    const stack = new AsyncDisposableStack();
    const path = directory ?? this.#stack.use(await temporaryDirectory(role)).path;
    let swarm: RunningSwarm | undefined;
    const store = stack.use(
      await BlobStore.open(
        { directory: path, quotaBytes: 1024 ** 3 },
        { logger, now: Date.now, onEvict: (digest) => swarm?.engine.evicted(digest) },
      ),
    );
    const dispatcher = new Agent();
    stack.defer(() => dispatcher.destroy());
    const counts = { verified: 0, failed: 0, sent: 0 };
    swarm = stack.use(
      await startSwarm(
        {
          store,
          dispatcher,
          logger,
          trusted: [{ raw: this.signer.publicKey, verify: verifierOf(this.signer) }],
          count: {
            verified: (_source, bytes) => void (counts.verified += bytes),
            failed: () => void counts.failed++,
            sent: (_role, bytes) => void (counts.sent += bytes),
          },
          now: () => performance.now(),
          random: Math.random,
        },
        {
          role,
          topology: {},
          listen: { host: '127.0.0.1', port: 0 },
          trackers: [this.#tracker!.address],
          identity: {},
          admitStrangers: false,
          limits: {},
          peers: { maxPeersPerSwarm: 40, maxConnections: 512 },
        },
      ),
    );
    const member = { path, store, swarm, counts, [Symbol.asyncDispose]: () => stack.disposeAsync() };
    this.#stack.use(member);
    return member;
  }

  /** What an origin does with bytes from upstream: hash, sign, supply, piece by piece. */
  feed(torrent: Torrent, blob: Buffer, first = 0, end = pieceCount(blob.length)): void {
    for (let index = first; index < end; index++) {
      const piece = pieceOf(blob, index);
      torrent.addBatch(this.sign(torrent.digest, torrent.scope, blob.length, index, [piece]));
      torrent.supply(index, piece);
    }
  }

  sign(digest: Digest, scope: string, size: number, first: number, pieces: Buffer[]): Buffer {
    const hashes = Buffer.concat(pieces.map((piece) => createHash('sha256').update(piece).digest()));
    return signBatch({ digest, scope, size, pieceLength: pieceLength(size), first, hashes }, this.signer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export interface Member extends AsyncDisposable {
  readonly path: string;
  readonly store: BlobStore;
  readonly swarm: RunningSwarm;
  readonly counts: { verified: number; failed: number; sent: number };
}

export function pieceOf(blob: Buffer, index: number): Buffer {
  const start = index * pieceLength(blob.length);
  return blob.subarray(start, start + sizeOfPiece(blob.length, index));
}

/** Reads a torrent as a runtime's request does. */
export async function readAll(torrent: Torrent, signal: AbortSignal, start = 0): Promise<Digest> {
  const chunks: Buffer[] = [];
  for await (const chunk of torrent.read(start, torrent.size, signal)) chunks.push(Buffer.from(chunk));
  return digestOf(Buffer.concat(chunks));
}

function verifierOf(signer: SigningKey): (message: Uint8Array, signature: Uint8Array) => boolean {
  return (message, signature) => signer.sign(message).equals(signature);
}

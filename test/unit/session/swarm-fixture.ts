import { writeFile } from 'node:fs/promises';
import { fixedMembers } from '#service/discovery/member-list.ts';
import type { Digest } from '#registry/digest.ts';
import { digestOf } from '#registry/digest.ts';
import { loadConfig } from '#service/config/load.ts';
import { clusterDispatcher } from '#service/http-client.ts';
import { type Security, wireIdentity } from '#service/identity.ts';
import { createLogger } from '#service/logger.ts';
import { createMetrics } from '#service/metrics.ts';
import { generateSigningKey, type SigningKey } from '#service/signing.ts';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import { signBatch } from '#swarm/hashes/batch.ts';
import { chainOf } from '#swarm/hashes/digest-chain.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { type WriteAt, writeAt } from '#swarm/store/data-file.ts';
import type { EngineLimits } from '#swarm/session/engine.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { type RunningSwarm, startSwarm } from '#swarm/session/start.ts';
import { Whereabouts } from '#swarm/session/whereabouts.ts';
import { type RunningTracker, startTracker } from '#tracker/tracker.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { linksOf } from '../../support/links.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const logger = createLogger('test', {
  level: process.env['SHOAL_TEST_LOG'] === undefined ? 'silent' : 'debug',
});

/** The engines' clock, which can be put forward. */
export class TestClock {
  #ahead = 0;

  readonly now = (): number => performance.now() + this.#ahead;

  skip(ms: number): void {
    this.#ahead += ms;
  }
}

/** A disk that takes nothing until it goes on. */
export function stuckDisk(): { readonly writeAt: WriteAt; goOn(): void } {
  const gate = Promise.withResolvers<void>();
  return {
    writeAt: async (...write) => {
      await gate.promise;
      return writeAt(...write);
    },
    goOn: () => gate.resolve(),
  };
}

export interface MemberOptions {
  /** What an earlier member has left. */
  readonly directory?: string;
  /** Where it listens; loopback by default. */
  readonly host?: string;
  readonly quotaBytes?: number;
  readonly writeAt?: WriteAt;
  readonly limits?: EngineLimits;
  readonly zone?: string;
  readonly clock?: Pick<TestClock, 'now'>;
  /** Another identity than the fixture's. */
  readonly security?: Security;
}

/** A tracker and any number of swarm processes' engines within this process, all over real sockets and files. */
export class SwarmFixture implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly signer: SigningKey = generateSigningKey();
  readonly security: Security;
  #tracker: RunningTracker | undefined;

  private constructor(security: Security) {
    this.security = security;
  }

  static async start(security: Security = { mode: 'off' }): Promise<SwarmFixture> {
    const fixture = new SwarmFixture(security);
    const config = loadConfig('tracker', {
      flags: { ...(await fixture.#identityFlags()), listen: '127.0.0.1:0', 'status.listen': '127.0.0.1:0' },
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

  async #identityFlags(): Promise<Record<string, string>> {
    const { security } = this;
    if (security.mode === 'off') return { security: 'off' };
    const directory = this.#stack.use(await temporaryDirectory('keys'));
    const write = async (name: string, text: string): Promise<string> => {
      await writeFile(directory.join(name), text, { mode: 0o600 });
      return directory.join(name);
    };
    if (security.mode === 'cluster-key') {
      const lines = security.keys().map((key) => key.toString('hex'));
      return { security: 'cluster-key', clusterKeyFile: await write('cluster.key', lines.join('\n')) };
    }
    const { cert, key, ca } = security.certificates.current.pem;
    return {
      security: 'mtls',
      'mtls.certFile': await write('tls.crt', cert),
      'mtls.keyFile': await write('tls.key', key),
      'mtls.caFile': await write('ca.crt', ca),
    };
  }

  /** One more member. */
  async member(role: 'agent' | 'origin', options: MemberOptions = {}): Promise<Member> {
    const stack = new AsyncDisposableStack();
    const path = options.directory ?? this.#stack.use(await temporaryDirectory(role)).path;
    const security = options.security ?? this.security;
    let swarm: RunningSwarm | undefined;
    const store = stack.use(
      await BlobStore.open(
        { directory: path, quotaBytes: options.quotaBytes ?? 1024 ** 3 },
        {
          logger,
          now: Date.now,
          onEvict: (digest) => swarm?.engine.evicted(digest),
          ...(options.writeAt && { writeAt: options.writeAt }),
        },
      ),
    );
    const dispatcher = clusterDispatcher(security);
    stack.defer(() => dispatcher.destroy());
    const whereabouts = new Whereabouts({ zone: options.zone });
    const counts = { verified: 0, failed: 0, sent: 0, fromBeyond: 0 };
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
            received: (zone, bytes) =>
              void (counts.fromBeyond += whereabouts.localityOf(zone) === 'cross-zone' ? bytes : 0),
          },
          now: options.clock?.now ?? ((): number => performance.now()),
          random: Math.random,
        },
        {
          role,
          topology: {},
          whereabouts,
          listen: { host: options.host ?? '127.0.0.1', port: 0 },
          trackers: fixedMembers([this.#tracker!.address]),
          identity: wireIdentity(security),
          admitStrangers: false,
          limits: options.limits ?? {},
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
      const links = linksOf(torrent.digest, blob).slice(index, index + 2);
      torrent.batches.add(this.#signLinks(torrent, blob.length, index, links));
      torrent.supply(index, new PieceMemory(piece));
    }
  }

  /** A disk that flips a bit of the byte at this position of whatever file it writes. */
  damage(at: number, every = Infinity): WriteAt {
    return (fd, data, position) => {
      const end = position + data.byteLength;
      const damaged = Buffer.from(data);
      for (let spot = at; spot < end; spot += every) if (spot >= position) damaged[spot - position]! ^= 1;
      return writeAt(fd, damaged, position);
    };
  }

  /** Signs the first pieces of a blob, from its beginning on. */
  sign(digest: Digest, scope: string, size: number, pieces: readonly Buffer[]): Buffer {
    const chain = chainOf(digest);
    const links = [chain.start];
    let position = 0;
    for (const piece of pieces) {
      links.push(chain.next(links.at(-1)!, piece, { position, size }));
      position += piece.length;
    }
    return this.#signLinks({ digest, scope }, size, 0, links);
  }

  #signLinks(
    { digest, scope }: { digest: Digest; scope: string },
    size: number,
    first: number,
    links: readonly Buffer[],
  ): Buffer {
    const batch = { digest, scope, size, pieceLength: pieceLength(size), first, links: Buffer.concat(links) };
    return signBatch(batch, this.signer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export interface Member extends AsyncDisposable {
  readonly path: string;
  readonly store: BlobStore;
  readonly swarm: RunningSwarm;
  /** Bytes; `fromBeyond`: that came from another zone. */
  readonly counts: { verified: number; failed: number; sent: number; fromBeyond: number };
}

export function pieceOf(blob: Buffer, index: number): Buffer {
  const start = index * pieceLength(blob.length);
  return blob.subarray(start, start + sizeOfPiece(blob.length, index));
}

/** Reads a torrent as a runtime's request does. */
export async function readAll(torrent: Torrent, signal: AbortSignal): Promise<Digest> {
  return digestOf(await readBytes(torrent, 0, torrent.size, signal));
}

/** Reads `[start, end)` of it. */
export async function readBytes(
  torrent: Torrent,
  start: number,
  end: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of torrent.read(start, end, signal)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function verifierOf(signer: SigningKey): (message: Uint8Array, signature: Uint8Array) => boolean {
  return (message, signature) => signer.sign(message).equals(signature);
}

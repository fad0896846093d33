import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent } from 'undici';
import { fixedMembers } from '#service/discovery/member-list.ts';
import { type Digest, parseDigest } from '#registry/digest.ts';
import { createLogger } from '#service/logger.ts';
import { parsePublicKeys, type SigningKey } from '#service/signing.ts';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import { signBatch } from '#swarm/hashes/batch.ts';
import { type RunningSwarm, startSwarm } from '#swarm/session/start.ts';
import { Whereabouts } from '#swarm/session/whereabouts.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { linksOf } from '../../support/links.ts';
import { PieceMemory } from '#swarm/session/piece-memory.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const SMALL = 256 * 1024;

export interface StandInOptions {
  readonly tracker: string;
  readonly signer: SigningKey;
}

/**
 * An origin under a test's hand: the real swarm and real signatures, but its content, its refusals and how far it has
 * read are what the test says. It puts no question to any registry.
 */
export class OriginStandIn implements AsyncDisposable {
  readonly content = new Map<string, Buffer>();
  /** How many pieces of each blob it has read so far. */
  pieces = Infinity;
  /** Scope of the swarm it names: the registry asked for where undefined, as while it reads; `verified` once it has the whole. */
  scope: string | undefined;
  /** What it says instead. */
  refusal: { status: number; headers: Record<string, string> } | undefined;
  /** Whether it says that it has let go of pieces that nobody has any more. */
  hasGaps = false;
  /** Whether it says that upstream served it in the caller's name just now. */
  positive = false;
  readonly asked: { path: string; authorization: string | undefined }[] = [];
  readonly #stack: AsyncDisposableStack;
  readonly #swarm: RunningSwarm;
  readonly #signer: SigningKey;
  readonly #server: Server;
  readonly #fed = new Map<Torrent, number>();

  private constructor(stack: AsyncDisposableStack, swarm: RunningSwarm, signer: SigningKey) {
    this.#stack = stack;
    this.#swarm = swarm;
    this.#signer = signer;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async start({ tracker, signer }: StandInOptions): Promise<OriginStandIn> {
    const stack = new AsyncDisposableStack();
    const logger = createLogger('origin', { level: 'silent' });
    const { path } = stack.use(await temporaryDirectory('origin'));
    const store = stack.use(
      await BlobStore.open(
        { directory: path, quotaBytes: 1024 ** 3 },
        { logger, now: Date.now, onEvict: () => {} },
      ),
    );
    const dispatcher = new Agent();
    stack.defer(() => dispatcher.destroy());
    const swarm = stack.use(
      await startSwarm(
        {
          store,
          dispatcher,
          logger,
          trusted: parsePublicKeys([signer.publicKey.toString('base64')]),
          count: { verified: () => {}, failed: () => {}, sent: () => {}, received: () => {} },
          now: () => performance.now(),
          random: Math.random,
        },
        {
          role: 'origin',
          topology: {},
          whereabouts: new Whereabouts({}),
          listen: { host: '127.0.0.1', port: 0 },
          trackers: fixedMembers([tracker]),
          identity: {},
          admitStrangers: false,
          limits: {},
          peers: { maxPeersPerSwarm: 40, maxConnections: 512 },
        },
      ),
    );
    const origin = new OriginStandIn(stack, swarm, signer);
    origin.#server.listen(0, '127.0.0.1');
    await once(origin.#server, 'listening');
    return origin;
  }

  get address(): string {
    return `127.0.0.1:${portOf(this.#server)}`;
  }

  add(bytes: Buffer): Digest {
    const digest = parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
    this.content.set(digest, bytes);
    return digest;
  }

  /** Reads on: every blob that was asked for goes as far as `pieces` says now. */
  readOn(pieces: number): void {
    this.pieces = pieces;
    for (const torrent of this.#fed.keys()) this.#feed(torrent);
  }

  /** Dies: no listener, no connection, no goodbye. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.#stack.disposeAsync();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://origin');
    const authorization = request.headers['shoal-authorization'];
    this.asked.push({ path: url.pathname, authorization: authorization?.toString() });
    const digest = url.pathname.split('/').at(-1) ?? '';
    const bytes = this.content.get(digest);
    if (this.positive) response.setHeader('shoal-verdict', 'positive');
    if (this.refusal !== undefined)
      return void response.writeHead(this.refusal.status, this.refusal.headers).end('{"errors":[]}');
    if (bytes === undefined)
      return void response.writeHead(404, { 'shoal-upstream': 'refused' }).end('{"errors":[]}');
    if (bytes.length <= SMALL) return void response.writeHead(200, { 'content-type': 'text/x' }).end(bytes);
    const scope = this.scope ?? url.searchParams.get('ns') ?? '';
    const torrent = await this.#swarm.engine.torrent({
      digest: parseDigest(digest),
      scope,
      size: bytes.length,
    });
    if (!this.#fed.has(torrent)) this.#fed.set(torrent, 0);
    this.#feed(torrent);
    const peer = { host: '127.0.0.1', port: this.#swarm.port };
    response.writeHead(200, { 'content-type': 'application/vnd.shoal.swarm.v1+json' });
    const { hasGaps } = this;
    response.end(JSON.stringify({ digest, size: bytes.length, scope, peer, ...(hasGaps && { hasGaps }) }));
  }

  #feed(torrent: Torrent): void {
    const { digest, scope, size } = torrent;
    const bytes = this.content.get(digest)!;
    const end = Math.min(this.pieces, pieceCount(size));
    for (let first = this.#fed.get(torrent)!; first < end; first += 1) {
      const start = first * pieceLength(size);
      const piece = bytes.subarray(start, start + sizeOfPiece(size, first));
      const links = Buffer.concat(linksOf(digest, bytes).slice(first, first + 2));
      torrent.batches.add(
        signBatch({ digest, scope, size, pieceLength: pieceLength(size), first, links }, this.#signer),
      );
      torrent.supply(first, new PieceMemory(Buffer.from(piece)));
      this.#fed.set(torrent, first + 1);
    }
  }
}

export function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('the server has no port');
  return address.port;
}

import type { Digest } from '#registry/digest.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import { type BatchSigner, mostBatched, signBatch, VERIFIED } from '#swarm/hashes/batch.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import type { OriginEvents } from './events.ts';

/** What a signature speaks of. */
interface Blob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Signs piece hashes in this origin's name. */
export class HashSigner {
  readonly #key: BatchSigner;
  readonly #events: Pick<OriginEvents, 'signed'>;

  constructor(parts: { key: BatchSigner; events: Pick<OriginEvents, 'signed'> }) {
    this.#key = parts.key;
    this.#events = parts.events;
  }

  /** @param links before piece `first`, and after it and each of those that follow */
  sign({ digest, size }: Blob, scope: string, first: number, links: readonly Buffer[]): Buffer {
    this.#events.signed(scope === VERIFIED ? 'verified' : 'live');
    const batch = {
      digest,
      scope,
      size,
      pieceLength: pieceLength(size),
      first,
      links: Buffer.concat(links),
    };
    return signBatch(batch, this.#key);
  }

  /**
   * Signs all hashes of a blob whose whole has matched, for everybody and in few batches; the torrent keeps them
   * with the blob and passes them on to its peers.
   */
  signWhole(torrent: Torrent): void {
    const { hashes, table } = torrent.pieces;
    if (!torrent.complete || !hashes.complete) return;
    const most = mostBatched(torrent.digest);
    for (let first = 0; first < table.count; first += most) {
      const end = Math.min(table.count, first + most);
      const run = Array.from({ length: end - first + 1 }, (_, at) => hashes.link(first + at)!);
      torrent.batches.add(this.sign(torrent, VERIFIED, first, run));
    }
  }
}

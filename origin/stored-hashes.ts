import type { Digest } from '#registry/digest.ts';
import type { Engine } from '#swarm/session/engine.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import { chainOf } from '#swarm/hashes/digest-chain.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import { BATCH_PIECES } from './defaults.ts';
import type { OriginEvents } from './events.ts';
import type { HashSigner } from './hash-signer.ts';

export interface StoredHashesParts {
  readonly engine: Pick<Engine, 'torrent'>;
  readonly signer: HashSigner;
  readonly events: Pick<OriginEvents, 'failed'>;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/**
 * Signs the hashes of stored blobs that came without any that are still trusted, because origins' keys have changed
 * or the disk had no room for them. Without them no agent could take a piece.
 */
export class StoredHashes {
  readonly #parts: StoredHashesParts;
  readonly #ensuring = new Set<Digest>();

  constructor(parts: StoredHashesParts) {
    this.#parts = parts;
  }

  /** Opens the blob's torrent for those who are about to call, and sees that it has its hashes. Never throws. */
  async ensure(digest: Digest, size: number): Promise<void> {
    if (this.#ensuring.has(digest)) return;
    this.#ensuring.add(digest);
    try {
      const torrent = await this.#parts.engine.torrent({ digest, scope: VERIFIED, size });
      try {
        if (torrent.complete && !torrent.pieces.hashes.complete) await this.#sign(torrent);
      } finally {
        torrent.release();
      }
    } catch (error) {
      if (!this.#parts.life.aborted) this.#parts.events.failed('a stored blob could not be opened', error);
    } finally {
      this.#ensuring.delete(digest);
    }
  }

  async #sign(torrent: Torrent): Promise<void> {
    const { signer, life } = this.#parts;
    const { digest, size } = torrent;
    const chain = chainOf(digest);
    let first = 0;
    let position = 0;
    let links = [chain.start];
    const flush = (): void => {
      if (links.length > 1) torrent.batches.add(signer.sign(torrent, VERIFIED, first, links));
      first += links.length - 1;
      links = links.slice(-1);
    };
    // Of a whole blob each chunk is a piece.
    for await (const piece of torrent.read(0, size, life)) {
      links.push(chain.next(links.at(-1)!, piece, { position, size }));
      position += piece.length;
      if (links.length > BATCH_PIECES) flush();
    }
    flush();
  }
}

import { createHash } from 'node:crypto';
import type { Digest } from '#registry/digest.ts';
import type { Announcer } from '#swarm/announce/announcer.ts';
import { pieceCount, pieceLength, sizeOfPiece } from '#swarm/core/piece-length.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { encodeInfo, encodeTorrent, infoHash } from '#swarm/hashes/torrent-file.ts';
import type { Engine } from '#swarm/session/engine.ts';
import type { BlobStore, StoredBlob } from '#swarm/store/blob-store.ts';
import { abortable } from '#swarm/store/abortable.ts';
import { TORRENT_CACHE_BYTES, TORRENTS_MADE_AT_ONCE } from './defaults.ts';
import { OriginBusyError } from './errors.ts';
import type { StrangerRepositories } from './stranger-repositories.ts';

export interface TorrentsParts {
  readonly store: Pick<BlobStore, 'open' | 'stat'>;
  /** What is for everybody's eyes. */
  readonly repositories: StrangerRepositories;
  readonly engine: Pick<Engine, 'answerAlso'>;
  readonly announcer: Pick<Announcer, 'registerAlias'>;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/** Askers for `.torrent` files that are not made yet, at one time. */
const MAX_WAITING = 64;

/**
 * `.torrent` files (BEP 3) of stored blobs, for stock clients. A blob is read once for its SHA-1 hashes; its
 * info-hash is then an alias of its swarm, here and with the trackers.
 */
export class Torrents {
  readonly #parts: TorrentsParts;
  readonly #infos = new Map<Digest, Buffer>();
  readonly #making = new Map<Digest, Promise<Buffer | undefined>>();
  #bytes = 0;
  #slots = TORRENTS_MADE_AT_ONCE;
  readonly #queue: (() => void)[] = [];

  constructor(parts: TorrentsParts) {
    this.#parts = parts;
  }

  /**
   * The file's bytes; undefined where the store does not have the blob, or it is in no repository for strangers.
   * @param announce trackers' announce URLs, in order
   * @throws OriginBusyError, the signal's reason
   */
  async get(digest: Digest, announce: readonly string[], signal: AbortSignal): Promise<Buffer | undefined> {
    const stored = this.#parts.store.stat(digest);
    if (stored === undefined || !this.#parts.repositories.admit(stored.facts)) return undefined;
    const info = this.#infos.get(digest) ?? (await abortable(this.#make(digest), signal));
    if (info === undefined) return undefined;
    this.#keep(digest, info);
    this.#admit(digest, infoHash(info));
    return encodeTorrent(info, announce);
  }

  /** The store does not have the blob any more. */
  evicted(digest: Digest): void {
    this.#bytes -= this.#infos.get(digest)?.length ?? 0;
    this.#infos.delete(digest);
  }

  #admit(digest: Digest, hash: Buffer): void {
    this.#parts.engine.answerAlso(digest, hash);
    this.#parts.announcer.registerAlias(
      verifiedSwarmId(digest).toString('hex'),
      hash.toString('hex'),
      digest,
    );
  }

  #make(digest: Digest): Promise<Buffer | undefined> {
    const making = this.#making.get(digest);
    if (making) return making;
    if (this.#making.size >= MAX_WAITING) throw new OriginBusyError(`${MAX_WAITING} torrents are being made`);
    const made = this.#makeInTurn(digest).finally(() => this.#making.delete(digest));
    made.catch(() => undefined);
    this.#making.set(digest, made);
    return made;
  }

  async #makeInTurn(digest: Digest): Promise<Buffer | undefined> {
    if (this.#slots > 0) this.#slots--;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      const { store, life } = this.#parts;
      await using blob = await store.open(digest, life);
      return blob && (await describe(blob, life));
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#slots++;
    }
  }

  #keep(digest: Digest, info: Buffer): void {
    this.evicted(digest);
    this.#infos.set(digest, info);
    this.#bytes += info.length;
    for (const oldest of this.#infos.keys()) {
      if (this.#bytes <= TORRENT_CACHE_BYTES || oldest === digest) return;
      this.evicted(oldest);
    }
  }
}

async function describe(blob: StoredBlob, life: AbortSignal): Promise<Buffer> {
  const { digest, size } = blob;
  const length = pieceLength(size);
  const hashes: Buffer[] = [];
  const buffer = Buffer.allocUnsafe(Math.min(length, size));
  for (let index = 0; index < pieceCount(size); index++) {
    life.throwIfAborted();
    const piece = buffer.subarray(0, sizeOfPiece(size, index));
    await blob.read(index * length, piece);
    hashes.push(createHash('sha1').update(piece).digest());
  }
  return encodeInfo({ digest, size, pieceLength: length, pieces: Buffer.concat(hashes) });
}

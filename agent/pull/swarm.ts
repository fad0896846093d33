import type { Source } from '#agent/metrics.ts';
import type { Digest } from '#registry/digest.ts';
import type { Trust } from '#swarm/session/engine.ts';
import type { PieceMemory } from '#swarm/session/piece-memory.ts';

/** A blob's torrent as a pull needs it; `Torrent` of swarm/session. */
export interface PullTorrent {
  readonly digest: Digest;
  readonly scope: string;
  /** In bytes. */
  readonly size: number;
  /** The whole matched its digest. */
  readonly complete: boolean;
  /** An origin is connected. */
  readonly hasOrigin: boolean;
  /** Bytes taken so far, by where they came from. */
  readonly sources: Readonly<Record<Source, number>>;
  read(
    start: number,
    end: number,
    signal: AbortSignal,
    count?: (source: Source, bytes: number) => void,
  ): AsyncIterable<Buffer>;
  addPeer(peer: { host: string; port: number; role: 'agent' | 'origin'; scope?: string }): void;
  readonly batches: {
    /** What was signed under this scope may serve too: `verified` once the registry is known to have the content. */
    believe(scope: string): void;
  };
  /** Takes a whole piece that upstream gave, with its memory. @throws Error where it contradicts a signed hash */
  supply(index: number, memory: PieceMemory): void;
  /** Resolves once the disk takes more: who supplies faster than it writes would fill the memory. Never rejects. */
  caughtUp(): Promise<void>;
  /** The next run of at most `limit` pieces that are not held nor, with `skipPeers`, to be had of a peer. */
  missing(from: number, limit: number, skipPeers?: boolean): { first: number; count: number } | undefined;
  fail(error: Error): void;
  whenComplete(signal: AbortSignal): Promise<void>;
  /** Facts that are to be stored with the blob. */
  note(facts: { registries?: readonly string[]; repositories?: readonly string[] }): void;
  /** Answers one call of `Swarm.torrent`. */
  release(): void;
}

/** A blob in the store, opened; `CheckedBlob` of swarm/session. */
interface HeldBlob extends AsyncDisposable {
  /** In bytes. */
  readonly size: number;
  /**
   * In order, from `start` to before `end`; a chunk is good only until the second call of `next` after the one that
   * gave it. @throws BlobDamagedError in front of bytes that are not what was stored
   */
  read(start: number, end: number, signal: AbortSignal): AsyncGenerator<Buffer>;
}

/** The limit of all that the agent downloads, shared fairly by blobs; `Engine` of swarm/session. */
export interface DownloadLimit {
  /** Resolves when `bytes` of the blob or manifest may come in. Rejects with the signal's reason. */
  passDownload(flow: string, bytes: number, signal: AbortSignal): Promise<void>;
  /** Whether the limit, and not what others send, makes this blob wait now. */
  holdsBack(digest: Digest): boolean;
}

/** Where torrents are had; `Engine` of swarm/session. */
export interface Swarm extends DownloadLimit {
  /** Shared by all who ask for the same; each `release`s it once. `size` in bytes. */
  torrent(request: { digest: Digest; scope: string; size: number; trust?: Trust }): Promise<PullTorrent>;
  /** What the store holds, each piece compared with its hash when it is read. */
  openStored(digest: Digest, signal?: AbortSignal): Promise<HeldBlob | undefined>;
  /** The torrent's registry has proved to have what it takes: it is the registry's own from now on. */
  proved(torrent: { digest: Digest; scope: string }): void;
  /** The bytes that the swarm had for the digest were wrong of late. */
  poisoned(digest: Digest, scope: string): boolean;
  /** Stores small content that came by another way than a torrent, for peers too; `notKept` where that fails. */
  keep(
    digest: Digest,
    bytes: Uint8Array,
    facts: { registries: string[]; repositories: string[]; mediaType?: string },
    notKept: (error: Error) => void,
  ): Promise<void>;
}

/** Bytes of a pull by source, counted as they are handed on. */
export type CountBytes = (source: Source, bytes: number) => void;

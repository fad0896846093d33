import { sha256 } from '#swarm/hashes/sha256.ts';
import type { ArrivedBlock } from './assembly.ts';
import type { PeerSession } from './peer-session.ts';

/** What a peer had sent of a piece that was bad. Bytes. */
interface Contribution {
  readonly peer: PeerSession;
  readonly offset: number;
  readonly length: number;
  readonly hash: Buffer;
}

interface SuspectPiece {
  readonly contributions: Contribution[];
  /** The one peer that it is fetched from now. */
  owner: PeerSession | undefined;
}

/** Pieces under suspicion that are remembered; the oldest goes first. */
const MAX_SUSPECT_PIECES = 64;

/**
 * Pieces that were bad when several peers had put them together. Each is fetched anew from one peer alone: if it is
 * bad again that peer lied, and once it is right, whoever had sent other bytes did.
 */
export class Suspects {
  readonly #pieces = new Map<number, SuspectPiece>();

  get any(): boolean {
    return this.#pieces.size > 0;
  }

  /** @param blocks what the bad piece was put together of */
  failed(index: number, blocks: readonly ArrivedBlock[]): void {
    const piece = this.#pieces.get(index) ?? { contributions: [], owner: undefined };
    for (const { peer, offset, memory } of blocks) {
      const { data } = memory;
      piece.contributions.push({ peer, offset, length: data.length, hash: sha256(data) });
    }
    piece.owner = undefined;
    this.#pieces.set(index, piece);
    if (this.#pieces.size > MAX_SUSPECT_PIECES) this.#pieces.delete(this.#pieces.keys().next().value!);
  }

  /** The piece has come right. Returns those that had sent something else. */
  settled(index: number, data: Buffer): Set<PeerSession> {
    const liars = new Set<PeerSession>();
    for (const { peer, offset, length, hash } of this.#pieces.get(index)?.contributions ?? [])
      if (!sha256(data.subarray(offset, offset + length)).equals(hash)) liars.add(peer);
    this.#pieces.delete(index);
    return liars;
  }

  /** Whether `peer` may be asked for a block of the piece. */
  admits(peer: PeerSession, index: number): boolean {
    const owner = this.#pieces.get(index)?.owner;
    return owner === undefined || owner === peer;
  }

  /** `peer` is asked for a block of the piece. */
  asked(peer: PeerSession, index: number): void {
    const piece = this.#pieces.get(index);
    if (piece) piece.owner ??= peer;
  }

  /** Nothing more comes from the peer for now. Returns the pieces that were fetched from it alone. */
  abandonedBy(peer: PeerSession): number[] {
    const left = [...this.#pieces].filter(([, { owner }]) => owner === peer);
    for (const [, piece] of left) piece.owner = undefined;
    return left.map(([index]) => index);
  }
}

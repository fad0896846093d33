import { createHash } from 'node:crypto';
import type { PeerSession } from './peer-session.ts';

/** A block of a piece in the making and who sent it. Bytes. */
export interface Contribution {
  readonly peer: PeerSession;
  readonly offset: number;
  readonly length: number;
}

interface SuspectPiece {
  /** Who sent which bytes of it when it was bad. */
  readonly blocks: { readonly from: Contribution; readonly hash: Buffer }[];
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

  /** @param data the bad piece that the blocks were put together to, in the order in which they came */
  failed(index: number, blocks: readonly Contribution[], data: Buffer): void {
    const piece = this.#pieces.get(index) ?? { blocks: [], owner: undefined };
    // What was written over later is not what its sender sent.
    const last = blocks.filter((block, at) => !blocks.slice(at + 1).some((later) => overlap(block, later)));
    for (const from of last) piece.blocks.push({ from, hash: sha256Of(data, from) });
    piece.owner = undefined;
    this.#pieces.set(index, piece);
    if (this.#pieces.size > MAX_SUSPECT_PIECES) this.#pieces.delete(this.#pieces.keys().next().value!);
  }

  /** The piece has come right. Returns those that had sent something else. */
  settled(index: number, data: Buffer): Set<PeerSession> {
    const liars = new Set<PeerSession>();
    for (const { from, hash } of this.#pieces.get(index)?.blocks ?? [])
      if (!sha256Of(data, from).equals(hash)) liars.add(from.peer);
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

function overlap(a: Contribution, b: Contribution): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

function sha256Of(data: Buffer, { offset, length }: Contribution): Buffer {
  return createHash('sha256')
    .update(data.subarray(offset, offset + length))
    .digest();
}

import type { Bitfield } from './bitfield.ts';
import { UNIT_LENGTH } from './piece-length.ts';
import { ARRIVED, type ActivePiece, type Block, type PieceTable } from './piece-table.ts';

/** Pieces ahead of a reader that come before rarest-first, so that the runtime's stream flows. */
export const WINDOW_PIECES = 2;

/** Pieces ahead of a reader that are fetched at all where nothing can be stored. */
export const UNSTORED_WINDOW_PIECES = 4;

/** How many peers may be asked for the same unit at once in the endgame. */
export const ENDGAME_COPIES = 2;

/** With no more than so many missing pieces a blob is at its end. */
export const TAIL_PIECES = 64;

/** And with no more than so much of all its pieces. */
export const TAIL_SHARE = 1 / 8;

/** At the end a source is asked for as much at a time as it gives in so long. Seconds. */
export const TAIL_SECONDS = 0.15;

/** And for so many pieces at least. */
const LEAST_OF_TAIL = 2;

/**
 * For `PickOptions.random`: the first of equally rare pieces. Only for a peer that shows each piece to nobody else, as
 * origins do: of another, all would ask for the same. The digest and the runtime need pieces in order.
 */
export const firstOfEquals = (): number => 1 - Number.EPSILON;

/** What the picker must know of the peer it picks for. */
export interface PickingPeer {
  readonly pieces: Bitfield;
  /** Longest block it serves, in bytes; a multiple of 16 KiB. */
  readonly blockLength: number;
  /** Whether this peer was already asked for a unit of the piece at this offset. */
  asked(index: number, offset: number): boolean;
}

export interface PickOptions {
  /** Next piece wanted by each reader. */
  readonly cursors: Iterable<number>;
  /** Nothing outside these readers' windows is wanted (nothing is being stored). */
  readonly windowOnly: boolean;
  /** Whether a piece may be asked for at all; all may unless told. */
  readonly accepts?: ((index: number) => boolean) | undefined;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * The next block to ask `peer` for: what readers wait for first, then what was begun, then the rarest piece
 * (random among equals, so that peers don't all ask for the same one). What another was asked for already only while
 * nothing is held, and at the very end. Undefined when the peer has nothing to give.
 */
export function pickBlock(table: PieceTable, peer: PickingPeer, options: PickOptions): Block | undefined {
  const urgent = pickInWindow(table, peer, options);
  if (urgent || options.windowOnly) return urgent;
  const begun = pickBegun(table, peer, options);
  if (begun) return begun;
  const index = pickRarest(table, peer.pieces, options);
  if (index !== undefined) return nextFree(table.activate(index), peer.blockLength);
  return pickEndgame(table, peer, options);
}

const acceptsAll = (): boolean => true;

function pickInWindow(
  table: PieceTable,
  peer: PickingPeer,
  { cursors, windowOnly, accepts = acceptsAll }: PickOptions,
): Block | undefined {
  const pieces = windowOnly ? UNSTORED_WINDOW_PIECES : WINDOW_PIECES;
  // Where nothing can be stored, nothing is held for long either.
  const isOpening = !windowOnly && table.held.count === 0;
  for (const cursor of cursors) {
    const end = Math.min(cursor + pieces, table.count);
    for (let index = cursor; index < end; index++) {
      if (table.held.has(index) || !peer.pieces.has(index) || !accepts(index)) continue;
      const piece = table.active.get(index) ?? table.activate(index);
      const isFirst = isOpening && index === cursor;
      const block = nextFree(piece, peer.blockLength) ?? (isFirst ? endOf(piece, peer) : undefined);
      if (block) return block;
    }
  }
  return undefined;
}

/**
 * The end of a piece that another peer was asked for, of a second one, once: the first to have what all readers begin with is
 * asked by all at once, and sends to each as slowly.
 */
function endOf(piece: ActivePiece, peer: PickingPeer): Block | undefined {
  const end = piece.units.length * UNIT_LENGTH - peer.blockLength;
  if (end <= 0) return undefined;
  const isOnce = (requests: number, offset: number): boolean =>
    offset >= end && requests === 1 && !peer.asked(piece.index, offset);
  return runOf(piece, peer.blockLength, isOnce);
}

function pickBegun(
  table: PieceTable,
  peer: PickingPeer,
  { accepts = acceptsAll }: PickOptions,
): Block | undefined {
  for (const piece of table.open) {
    if (peer.pieces.has(piece.index) && accepts(piece.index)) return nextFree(piece, peer.blockLength);
  }
  return undefined;
}

/** The rarest piece that the peer has and nobody was asked for; each of several equally rare is as likely. */
function pickRarest(
  table: PieceTable,
  pieces: Bitfield,
  { random, accepts = acceptsAll }: PickOptions,
): number | undefined {
  const { count, availability, held, active } = table;
  let rarest: number | undefined;
  let copies = Infinity;
  let ties = 0;
  for (let index = pieces.nextWithout(held, 0); index < count; index = pieces.nextWithout(held, index + 1)) {
    const here = availability[index]!;
    if (here > copies || active.has(index) || !accepts(index)) continue;
    ties = here < copies ? 1 : ties + 1;
    if (here < copies || random() * ties < 1) rarest = index;
    copies = here;
  }
  return rarest;
}

/** Everything missing is on its way: ask a second peer for what the fewest were asked for. */
function pickEndgame(
  table: PieceTable,
  peer: PickingPeer,
  { accepts = acceptsAll }: PickOptions,
): Block | undefined {
  if (!table.allTaken) return undefined;
  for (let copies = 1; copies < ENDGAME_COPIES; copies++) {
    for (const piece of table.active.values()) {
      if (!peer.pieces.has(piece.index) || !accepts(piece.index)) continue;
      const block = runOf(
        piece,
        peer.blockLength,
        (requests, offset) => requests === copies && !peer.asked(piece.index, offset),
      );
      if (block) return block;
    }
  }
  return undefined;
}

/**
 * A block of piece `index` to ask for once more, of `peer`, because a reader waits and what was asked for does not
 * come. Undefined where something of the piece was not asked for at all, or this peer cannot help.
 */
export function pickRescue(table: PieceTable, peer: PickingPeer, index: number): Block | undefined {
  const piece = table.active.get(index);
  if (!piece || piece.free > 0 || !peer.pieces.has(index)) return undefined;
  return runOf(piece, peer.blockLength, (_requests, offset) => !peer.asked(index, offset));
}

/** Who is asked for pieces by name. */
export interface TailSource {
  readonly pieces: Bitfield;
  /** What it gave of late, bytes per second; 0 where that is not known. */
  readonly rate: number;
  /** The piece that it was last asked for in this way; -1: none. It may have refused that one. */
  readonly wanted: number;
}

/**
 * Pieces to ask a source for by name that has shown no more of them: at the end of a blob what is left may be with few, over slow
 * links, and with nobody was it asked for; and the source has nothing to do. As many as it gives until it is asked again.
 */
export function pickTail(
  table: PieceTable,
  { pieces, rate, wanted }: TailSource,
  accepts: (index: number) => boolean,
): number[] {
  const { count, held, active, availability, pieceLength } = table;
  if (count - held.count > Math.min(TAIL_PIECES, count * TAIL_SHARE)) return [];
  const most = Math.max(LEAST_OF_TAIL, Math.ceil((rate * TAIL_SECONDS) / pieceLength));
  const tail: number[] = [];
  for (let step = 1; step <= count && tail.length < most; step++) {
    const index = (wanted + step) % count;
    if (held.has(index) || active.has(index) || pieces.has(index) || availability[index]! > 1) continue;
    if (accepts(index)) tail.push(index);
  }
  return tail;
}

const isFree = (requests: number): boolean => requests === 0;

function nextFree(piece: ActivePiece, blockLength: number): Block | undefined {
  return piece.free === 0 ? undefined : runOf(piece, blockLength, isFree);
}

/** The first run of units that have not come and satisfy `wanted`, at most `blockLength` bytes. */
function runOf(
  piece: ActivePiece,
  blockLength: number,
  wanted: (requests: number, offset: number) => boolean,
): Block | undefined {
  const { index, size, units } = piece;
  let first = 0;
  while (first < units.length && !takes(units, first, wanted)) first++;
  if (first === units.length) return undefined;
  const longest = Math.min(units.length, first + blockLength / UNIT_LENGTH);
  let end = first + 1;
  while (end < longest && takes(units, end, wanted)) end++;
  const offset = first * UNIT_LENGTH;
  return { index, offset, length: Math.min(end * UNIT_LENGTH, size) - offset };
}

function takes(
  units: Uint8Array,
  unit: number,
  wanted: (requests: number, offset: number) => boolean,
): boolean {
  return units[unit] !== ARRIVED && wanted(units[unit]!, unit * UNIT_LENGTH);
}

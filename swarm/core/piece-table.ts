import { Bitfield } from './bitfield.ts';
import { UNIT_LENGTH, pieceCount, pieceLength, sizeOfPiece } from './piece-length.ts';

/** A run of bytes within one piece, as BEP 3 requests it. Bytes. */
export interface Block {
  readonly index: number;
  readonly offset: number;
  readonly length: number;
}

/** How a unit of a piece in the making stands: its number of open requests, or ARRIVED. */
export const ARRIVED = 255;

const MAX_REQUESTS = ARRIVED - 1;

/** A piece of which something was asked for and not everything has come. */
export interface ActivePiece {
  readonly index: number;
  readonly size: number;
  /** Per 16 KiB unit: open requests, or ARRIVED. */
  readonly units: Uint8Array;
  arrived: number;
  /** Units that nobody was asked for. */
  free: number;
}

/**
 * What is held of a blob, what is on its way and how many peers have each piece. It only keeps the books;
 * the picker decides and the session acts.
 */
export class PieceTable {
  readonly size: number;
  readonly pieceLength: number;
  readonly count: number;
  readonly held: Bitfield;
  /** How many connected peers have each piece. */
  readonly availability: Uint16Array;
  readonly active = new Map<number, ActivePiece>();
  #open: ActivePiece[] = [];

  constructor(size: number) {
    this.size = size;
    this.pieceLength = pieceLength(size);
    this.count = pieceCount(size);
    this.held = new Bitfield(this.count);
    this.availability = new Uint16Array(this.count);
  }

  get complete(): boolean {
    return this.held.full;
  }

  /** Every piece is held or being fetched. */
  get allTaken(): boolean {
    return this.held.count + this.active.size >= this.count;
  }

  /** Active pieces with units that nobody was asked for, in the order of `active`; few, as a rule. */
  get open(): readonly ActivePiece[] {
    return this.#open;
  }

  sizeOf(index: number): number {
    return sizeOfPiece(this.size, index);
  }

  /** Whether `block` lies inside its piece. */
  valid(block: Block): boolean {
    return (
      block.index < this.count && block.length > 0 && block.offset + block.length <= this.sizeOf(block.index)
    );
  }

  peerHas(index: number): void {
    if (this.availability[index]! < 0xffff) this.availability[index]!++;
  }

  /** A peer that had the piece has it no more. */
  peerLacks(index: number): void {
    if (this.availability[index]! > 0) this.availability[index]!--;
  }

  peerGone(field: Bitfield): void {
    for (const index of field) this.peerLacks(index);
  }

  /** Takes up a piece; it must be neither held nor active. */
  activate(index: number): ActivePiece {
    const size = this.sizeOf(index);
    const units = Math.ceil(size / UNIT_LENGTH);
    const piece = { index, size, units: new Uint8Array(units), arrived: 0, free: units };
    this.active.set(index, piece);
    this.#open.push(piece);
    return piece;
  }

  /** The units of `block` are asked for once more. */
  requested(block: Block): void {
    const piece = this.#eachUnit(block, (p, unit) => {
      if (p.units[unit] === 0) p.free--;
      if (p.units[unit]! < MAX_REQUESTS) p.units[unit]!++;
    });
    if (piece?.free === 0) this.#close(piece);
  }

  /**
   * A request for `block` came to nothing. A piece with no byte and no request is given back. A request that was
   * made before the piece was dropped and taken up anew counts for nothing.
   */
  abandoned(block: Block): void {
    const before = this.active.get(block.index)?.free;
    const piece = this.#eachUnit(block, (p, unit) => {
      if (p.units[unit] === 0) return;
      if (--p.units[unit]! === 0) p.free++;
    });
    if (!piece) return;
    if (piece.arrived === 0 && piece.free === piece.units.length) this.#deactivate(piece.index);
    else if (before === 0 && piece.free > 0)
      this.#open = [...this.active.values()].filter(({ free }) => free > 0);
  }

  /** The bytes of `block` have come; true when the piece has all of them. */
  arrived(block: Block): boolean {
    const piece = this.#eachUnit(block, (p, unit) => {
      if (p.units[unit] === 0) p.free--;
      p.units[unit] = ARRIVED;
      p.arrived++;
    });
    if (piece?.free === 0) this.#close(piece);
    return piece !== undefined && piece.arrived === piece.units.length;
  }

  /** Whether every unit of `block` has come already. */
  hasArrived(block: Block): boolean {
    const piece = this.active.get(block.index);
    if (!piece) return this.held.has(block.index);
    for (let unit = firstUnit(block); unit < endUnit(block); unit++)
      if (piece.units[unit] !== ARRIVED) return false;
    return true;
  }

  /** The piece matched its hash. False if it was held before. */
  hold(index: number): boolean {
    this.#deactivate(index);
    return this.held.add(index);
  }

  /** The piece did not match, or its bytes are gone: it is wanted anew. */
  drop(index: number): void {
    this.#deactivate(index);
    this.held.remove(index);
  }

  #deactivate(index: number): void {
    const piece = this.active.get(index);
    if (!piece) return;
    this.active.delete(index);
    this.#close(piece);
  }

  #close(piece: ActivePiece): void {
    const at = this.#open.indexOf(piece);
    if (at >= 0) this.#open.splice(at, 1);
  }

  #eachUnit(block: Block, visit: (piece: ActivePiece, unit: number) => void): ActivePiece | undefined {
    const piece = this.active.get(block.index);
    if (!piece) return undefined;
    const end = Math.min(endUnit(block), piece.units.length);
    for (let unit = firstUnit(block); unit < end; unit++) {
      if (piece.units[unit] !== ARRIVED) visit(piece, unit);
    }
    return piece;
  }
}

function firstUnit(block: Block): number {
  return Math.floor(block.offset / UNIT_LENGTH);
}

function endUnit(block: Block): number {
  return Math.ceil((block.offset + block.length) / UNIT_LENGTH);
}

import { firstOfEquals, pickBlock, pickRescue, pickTail } from '#swarm/core/picker.ts';
import type { Block } from '#swarm/core/piece-table.ts';
import type { ZoneImports } from '#swarm/core/zone-imports.ts';
import type { Bandwidth } from './bandwidth.ts';
import {
  MAX_PARKED_BYTES,
  REQUEST_TIMEOUT_MS,
  RESCUE_AFTER_MS,
  RESCUE_LATEST_MS,
  SNUB_MS,
  WANT_AFTER_MS,
} from './defaults.ts';
import type { PeerSession } from './peer-session.ts';
import type { Pieces } from './pieces.ts';
import type { Cursor, Readers } from './readers.ts';
import type { Locality } from './whereabouts.ts';

interface DownloadParts {
  readonly pieces: Pieces;
  readonly readers: Readers;
  /** Pieces that readers need next. */
  readonly positions: () => Iterable<number>;
  readonly bandwidth: Bandwidth;
  readonly now: () => number;
  readonly random: () => number;
  /** Whether anything is to be fetched at all. */
  readonly wanted: () => boolean;
  readonly peers: () => Iterable<PeerSession>;
  readonly imports: ZoneImports;
  readonly localityOf: (zone: string | undefined) => Locality;
}

/** Asks peers for blocks: enough to keep each busy, and what readers wait for before all else. */
export class Downloads {
  readonly #parts: DownloadParts;
  readonly #flow: string;

  constructor(parts: DownloadParts, flow: string) {
    this.#parts = parts;
    this.#flow = flow;
  }

  /** Asks `peer` for as much as its speed is worth. */
  fill(peer: PeerSession): void {
    while (this.#mayAsk(peer)) {
      if (!this.#parts.bandwidth.unlimited) return this.#fillInTurn(peer);
      if (this.#askNext(peer, peer.blockLength) === 0) return;
    }
  }

  /** It has told of pieces that are missing here. What others were to fetch is looked for once a tick, not with each. */
  gained(peer: PeerSession, indices: readonly number[]): void {
    const { imports } = this.#parts;
    const isFar = this.#localityOf(peer) === 'cross-zone';
    if (!isFar || indices.some((index) => imports.admits(index))) this.fill(peer);
  }

  fillAll(): void {
    for (const peer of this.#parts.peers()) this.fill(peer);
  }

  /** It has said where it is. */
  introduced(peer: PeerSession): void {
    this.#shareImports(this.#parts.now());
    this.fill(peer);
  }

  /** Asks a member that has the piece for its hash. */
  askHashes(peer: PeerSession, index: number): void {
    if (peer.wire.member && peer.introduced) peer.askHashes(index);
  }

  /** Takes back what does not come, and helps readers that have waited long. */
  tick(now: number): void {
    this.#shareImports(now);
    for (const peer of this.#parts.peers()) {
      peer.look();
      if (!peer.silentSince(now - REQUEST_TIMEOUT_MS)) continue;
      peer.snubbedUntil = now + SNUB_MS;
      this.abandon(peer.takeBack());
      this.#parts.pieces.abandonedBy(peer);
    }
    for (const cursor of this.#parts.readers.cursors) this.#help(cursor, now);
    this.fillAll();
    for (const peer of this.#parts.peers()) this.#wantTail(peer, now);
  }

  /** These blocks will not come from whom they were asked of. */
  abandon(blocks: readonly Block[]): void {
    for (const block of blocks) this.#parts.pieces.table.abandoned(block);
  }

  #mayAsk(peer: PeerSession): boolean {
    const { pieces, wanted, now } = this.#parts;
    return (
      !peer.closed &&
      !peer.choked &&
      (peer.introduced || !peer.wire.member) &&
      peer.snubbedUntil <= now() &&
      !peer.queuedForBandwidth &&
      !peer.saturated &&
      !pieces.storage.isBehind &&
      wanted()
    );
  }

  #fillInTurn(peer: PeerSession): void {
    peer.queuedForBandwidth = true;
    const { blockLength } = peer;
    this.#parts.bandwidth.pass(this.#flow, blockLength, () => {
      peer.queuedForBandwidth = false;
      const asked = this.#mayAsk(peer) ? this.#askNext(peer, blockLength) : 0;
      if (asked > 0) this.fill(peer);
      return asked;
    });
  }

  /** Bytes asked for, `blockLength` at most; 0 when it has nothing to give. */
  #askNext(peer: PeerSession, blockLength: number): number {
    const { table, hashes, storage } = this.#parts.pieces;
    // A stranger cannot tell the hash of what it gives.
    if (!peer.wire.member && !hashes.complete) return 0;
    const view = {
      pieces: peer.pieces,
      blockLength,
      asked: (index: number, offset: number): boolean => peer.asked(index, offset),
    };
    const block = pickBlock(table, view, {
      cursors: this.#parts.positions(),
      windowOnly: storage.inMemory,
      accepts: this.#acceptance(peer),
      random: peer.role === 'origin' ? firstOfEquals : this.#parts.random,
    });
    if (!block) return 0;
    // In front of the request: the answers come in the same order.
    if (!hashes.has(block.index)) this.askHashes(peer, block.index);
    this.#request(peer, block);
    return block.length;
  }

  /** Which pieces the peer may be asked for; undefined: any. */
  #acceptance(peer: PeerSession): ((index: number) => boolean) | undefined {
    const { pieces, imports } = this.#parts;
    const { hashes, parkedBytes, suspects } = pieces;
    const parkedFull = parkedBytes >= MAX_PARKED_BYTES;
    const isFar = this.#localityOf(peer) === 'cross-zone';
    if (!isFar && !parkedFull && !suspects.any && !pieces.anyUnchecked) return undefined;
    return (index) =>
      (!isFar || imports.admits(index)) &&
      (!parkedFull || hashes.has(index)) &&
      suspects.admits(peer, index) &&
      !pieces.unchecked(index);
  }

  /** Of an agent; an origin shows each piece to few, wherever they are. */
  #localityOf({ role, zone }: PeerSession): Locality {
    return role === 'agent' ? this.#parts.localityOf(zone) : 'unknown';
  }

  /** Whether what the origin sends may cross the zone's border; it need not have said where it is. */
  #mayBeFar(origin: PeerSession): boolean {
    const locality = this.#parts.localityOf(origin.zone);
    if (locality !== 'unknown') return locality === 'cross-zone';
    return [...this.#parts.peers()].some((peer) => this.#localityOf(peer) === 'cross-zone');
  }

  #shareImports(now: number): void {
    const { peers, imports, pieces, readers } = this.#parts;
    const neighbours: PeerSession[] = [];
    for (const peer of peers()) {
      // Whose runtime has gone brings in nothing.
      if (this.#localityOf(peer) === 'same-zone' && peer.peerInterested && !peer.pieces.full)
        neighbours.push(peer);
    }
    const overdue = new Set<number>();
    for (const { index, waitingSince = now } of readers.cursors)
      if (now - waitingSince >= RESCUE_AFTER_MS) overdue.add(pieces.awaited(index));
    imports.update({ neighbours, overdue, held: pieces.table.held.count }, now);
  }

  #request(peer: PeerSession, block: Block): void {
    const { table, suspects } = this.#parts.pieces;
    suspects.asked(peer, block.index);
    table.requested(block);
    peer.request(block);
  }

  #help(cursor: Cursor, now: number): void {
    if (cursor.waitingSince === undefined) return;
    const waited = now - cursor.waitingSince;
    const index = this.#parts.pieces.awaited(cursor.index);
    if (this.#parts.pieces.unchecked(index)) return;
    if (waited >= WANT_AFTER_MS && !this.#someoneHas(index)) this.#wantFromOrigins(index);
    else if (this.#isLate(index, waited) && !this.#rescue(index)) this.#wantFromOrigins(index);
  }

  /** Over a slow link that many share a block takes long, and asking for it twice makes all of them slower. */
  #isLate(index: number, waitedMs: number): boolean {
    if (waitedMs < RESCUE_AFTER_MS) return false;
    return waitedMs >= RESCUE_LATEST_MS || ![...this.#parts.peers()].some((peer) => peer.isSending(index));
  }

  #someoneHas(index: number): boolean {
    return this.#parts.pieces.table.availability[index]! > 0;
  }

  #wantFromOrigins(index: number): void {
    for (const peer of this.#parts.peers()) if (peer.role === 'origin') peer.want(index);
  }

  /** Of an origin that nothing is asked of what few others have, at the end of the blob. */
  #wantTail(peer: PeerSession, now: number): void {
    const { pieces, imports } = this.#parts;
    if (peer.role !== 'origin' || peer.isAsked || pieces.storage.inMemory || !this.#mayAsk(peer)) return;
    const accepts = (index: number): boolean =>
      !pieces.unchecked(index) &&
      pieces.suspects.admits(peer, index) &&
      (imports.admits(index) || !this.#mayBeFar(peer));
    const source = { pieces: peer.pieces, rate: peer.received.perSecond(now), wanted: peer.wantedLast };
    for (const index of pickTail(pieces.table, source, accepts)) peer.want(index);
  }

  /** Asks one more peer for what a slow one was asked for and a reader waits for; false if none has it. */
  #rescue(index: number): boolean {
    const { table, suspects } = this.#parts.pieces;
    for (const peer of this.#parts.peers()) {
      if (!this.#mayAsk(peer) || !suspects.admits(peer, index)) continue;
      const block = pickRescue(table, peer, index);
      if (!block) continue;
      this.#request(peer, block);
      return true;
    }
    return false;
  }
}

import { SwarmIndex } from '#swarm/core/handout.ts';
import type { Member, Place, Role } from '#swarm/core/handout.ts';

/** An agent or origin in session with the tracker. */
export interface ShoalMember extends Member {
  /** Hex, 40 digits. */
  readonly id: string;
  readonly role: Role;
  readonly place: Place;
  /** As others are to dial it. */
  readonly host: string;
  /** The same as an IP address, for compact answers. */
  readonly ip: string;
  readonly port: number;
}

/** A stock client under one info-hash. */
export interface Stranger extends Member {
  readonly ip: string;
  readonly port: number;
}

/** A Shoal swarm: one torrent under one swarm id. Lives as long as it has a member. */
export interface Swarm {
  readonly id: string;
  readonly members: SwarmIndex<ShoalMember>;
  blob: Blob | undefined;
}

/** What ties together the swarms of one blob, verified and live, and the info-hashes that strangers know it by. */
export interface Blob {
  readonly digest: string;
  readonly swarms: Set<Swarm>;
  readonly aliases: Map<string, Alias>;
}

/** A BEP 3 info-hash of a blob. Lives as long as the blob has a swarm. */
export interface Alias {
  readonly infoHash: string;
  readonly blob: Blob;
  /** The swarm whose content is verified; the blob's other swarms are live. */
  readonly verifiedSwarm: string;
  readonly strangers: SwarmIndex<Stranger>;
  /** Strangers that completed it (BEP 48, `downloaded`). */
  downloaded: number;
}

/** Swarms, blobs and info-hashes, and how they hang together. Who is in them is told by its owner. */
export class SwarmTable {
  readonly #swarms = new Map<string, Swarm>();
  readonly #blobs = new Map<string, Blob>();
  readonly #aliases = new Map<string, Alias>();
  readonly #onAliasGone: (alias: Alias) => void;

  constructor(parts: { onAliasGone: (alias: Alias) => void }) {
    this.#onAliasGone = parts.onAliasGone;
  }

  get size(): number {
    return this.#swarms.size;
  }

  get aliases(): number {
    return this.#aliases.size;
  }

  swarm(id: string): Swarm | undefined {
    return this.#swarms.get(id);
  }

  alias(infoHash: string): Alias | undefined {
    return this.#aliases.get(infoHash);
  }

  /** The swarm of that id, made if need be. A blob once told stays. */
  ensure(id: string, digest: string | undefined): Swarm {
    let swarm = this.#swarms.get(id);
    if (swarm === undefined) {
      swarm = { id, members: new SwarmIndex<ShoalMember>(), blob: undefined };
      this.#swarms.set(id, swarm);
    }
    if (digest !== undefined && swarm.blob === undefined) this.#tie(swarm, digest);
    return swarm;
  }

  /** Forgets a swarm that has no member left, and its blob with the last one. */
  drop(swarm: Swarm): void {
    this.#swarms.delete(swarm.id);
    const { blob } = swarm;
    if (blob === undefined) return;
    blob.swarms.delete(swarm);
    if (blob.swarms.size > 0) return;
    this.#blobs.delete(blob.digest);
    for (const alias of blob.aliases.values()) {
      this.#aliases.delete(alias.infoHash);
      this.#onAliasGone(alias);
    }
  }

  /** False where the swarm is unknown or of another blob, the info-hash is another blob's, or the blob has `max` already. */
  addAlias(alias: { swarm: string; infoHash: string; digest: string }, max: number): boolean {
    const swarm = this.#swarms.get(alias.swarm);
    if (swarm === undefined) return false;
    if (swarm.blob === undefined) this.#tie(swarm, alias.digest);
    const blob = swarm.blob!;
    if (blob.digest !== alias.digest) return false;
    const known = this.#aliases.get(alias.infoHash);
    if (known !== undefined) return known.blob === blob;
    if (blob.aliases.size >= max) return false;
    const { infoHash } = alias;
    const added = {
      infoHash,
      blob,
      verifiedSwarm: swarm.id,
      strangers: new SwarmIndex<Stranger>(),
      downloaded: 0,
    };
    this.#aliases.set(infoHash, added);
    blob.aliases.set(infoHash, added);
    return true;
  }

  #tie(swarm: Swarm, digest: string): void {
    let blob = this.#blobs.get(digest);
    if (blob === undefined) {
      blob = { digest, swarms: new Set(), aliases: new Map() };
      this.#blobs.set(digest, blob);
    }
    blob.swarms.add(swarm);
    swarm.blob = blob;
  }
}

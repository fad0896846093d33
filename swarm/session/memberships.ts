import type { Digest } from '#registry/digest.ts';
import type { Announcer, Membership, SwarmPeers } from '#swarm/announce/announcer.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import { verifiedSwarmId } from '#swarm/hashes/swarm-id.ts';
import { WANTED_PEERS } from './defaults.ts';
import { Torrent } from './torrent.ts';

export interface MembershipParts {
  readonly announcer: Announcer;
  /** Whether the store has the blob. */
  readonly holds: (digest: Digest) => boolean;
  /** Those who want what an origin reads call it: it asks for peers only when it has too few. */
  readonly isOrigin: boolean;
}

/**
 * The swarms that this process is in: those of torrents under way, and one for each blob that the store holds. It tells the
 * tracker of them, offers torrents the peers that the tracker names, and knows who answers for a swarm's id.
 */
export class Memberships {
  readonly #parts: MembershipParts;
  /** Who answers for a swarm id or info-hash, in hex; a digest: the torrent of that stored blob. */
  readonly #answering = new Map<string, Torrent | Digest>();
  /** Of a torrent under way: its own swarm's, and that of the verified whole where it had to look there too. */
  readonly #joined = new Map<Torrent, Membership[]>();
  readonly #seeds = new Map<Digest, Membership>();
  /** Info-hashes in hex, by which stock clients know stored blobs. */
  readonly #aliases = new Map<Digest, string>();

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** Stored blobs that are announced. */
  get seeded(): number {
    return this.#seeds.size;
  }

  /** Who answers for a swarm; undefined: nobody here, or it is none for strangers. */
  answer(infoHash: Buffer, { member }: { member: boolean }): Torrent | Digest | undefined {
    const id = infoHash.toString('hex');
    const answer = this.#answering.get(id);
    if (member || answer === undefined) return answer;
    // Anyone can make a swarm id of a digest; an info-hash is known only where an origin gave the .torrent away.
    const alias = this.#aliases.get(answer instanceof Torrent ? answer.digest : answer);
    return alias === id ? answer : undefined;
  }

  /** The torrent's peers come from its swarm, and find it there. */
  join(torrent: Torrent): void {
    const id = torrent.swarmId.toString('hex');
    this.#answering.set(id, torrent);
    const want = this.#parts.isOrigin ? 0 : WANTED_PEERS;
    const options = { complete: torrent.complete, want, digest: torrent.digest };
    const membership = this.#parts.announcer.join(id, options, (swarm) =>
      offer(torrent, torrent.swarmId, swarm),
    );
    this.#joined.set(torrent, [membership]);
  }

  /** Asks for more of the same swarm, and for those who have the verified whole by now. */
  more(torrent: Torrent): void {
    const joined = this.#joined.get(torrent);
    if (!joined) return;
    for (const membership of joined) membership.more(WANTED_PEERS);
    // What an origin signs for a registry must be that registry's own bytes.
    if (torrent.scope === VERIFIED || joined.length > 1 || this.#parts.isOrigin) return;
    const id = verifiedSwarmId(torrent.digest);
    const options = { complete: false, want: WANTED_PEERS, digest: torrent.digest };
    const membership = this.#parts.announcer.join(id.toString('hex'), options, (swarm) =>
      offer(torrent, id, { ...swarm, peers: swarm.peers.filter((peer) => peer.complete) }),
    );
    joined.push(membership);
  }

  /** The torrent's blob has its place in the store: it is announced as seeded, and nobody is sought for it any more. */
  completed(torrent: Torrent): void {
    const joined = this.#joined.get(torrent) ?? [];
    joined[0]?.update({ complete: true });
    for (const membership of joined.splice(1)) membership.leave();
    this.seed(torrent.digest);
  }

  leave(torrent: Torrent): void {
    for (const membership of this.#joined.get(torrent) ?? []) membership.leave();
    this.#joined.delete(torrent);
    this.#silence(torrent.swarmId.toString('hex'), torrent);
  }

  /** The store holds the blob: it is announced, and whoever calls for it is answered. */
  seed(digest: Digest): void {
    if (this.#seeds.has(digest)) return;
    const id = verifiedSwarmId(digest).toString('hex');
    this.#answering.set(id, digest);
    const membership = this.#parts.announcer.join(id, { complete: true, want: 0, digest }, (swarm) => {
      for (const { infoHash } of swarm.aliases) this.answerAlso(digest, Buffer.from(infoHash, 'hex'));
    });
    this.#seeds.set(digest, membership);
  }

  /** The store does not have the blob any more. */
  unseed(digest: Digest): void {
    this.#seeds.get(digest)?.leave();
    this.#seeds.delete(digest);
    this.#silence(verifiedSwarmId(digest).toString('hex'), digest);
    const alias = this.#aliases.get(digest);
    if (alias !== undefined) this.#silence(alias, digest);
    this.#aliases.delete(digest);
  }

  /** Stock clients know the stored blob by this BEP 3 info-hash, 20 bytes. */
  answerAlso(digest: Digest, infoHash: Buffer): void {
    if (!this.#parts.holds(digest)) return;
    this.#aliases.set(digest, infoHash.toString('hex'));
    this.#answering.set(infoHash.toString('hex'), digest);
  }

  /** No more answers for an id from one who is gone; another may have taken over meanwhile. */
  #silence(id: string, from: Torrent | Digest): void {
    if (this.#answering.get(id) === from) this.#answering.delete(id);
  }
}

function offer(torrent: Torrent, infoHash: Buffer, swarm: SwarmPeers): void {
  for (const { id, host, port, role } of swarm.peers)
    torrent.addPeer({ host, port, role, infoHash, peerId: id });
  for (const alias of swarm.aliases) {
    const aliasHash = Buffer.from(alias.infoHash, 'hex');
    for (const { host, port } of alias.peers)
      torrent.addPeer({ host, port, role: 'stranger', infoHash: aliasHash });
  }
}

import { MAX_ALIASES_PER_SWARM } from '#swarm/announce/messages.ts';
import type { PeerAddress, Refusal, SwarmPeers } from '#swarm/announce/messages.ts';
import { NOWHERE } from '#swarm/core/handout.ts';
import type { Member, Seat } from '#swarm/core/handout.ts';

import { STRANGERS_PER_ALIAS } from './constants.ts';
import type { TrackerLimits } from './constants.ts';
import { ExpiryQueue } from './expiry-queue.ts';
import type { Alias, ShoalMember, Stranger, Swarm, SwarmTable } from './swarm-table.ts';

/** What a member tells of itself when its session starts, with where the tracker sees it. */
export type MemberDescription = ShoalMember;

/** One announcer's session. Its sequence is the caller's to keep. */
export interface Session {
  readonly member: ShoalMember;
  readonly session: string;
  /** Of the last message applied. */
  readonly sequence: number;
}

interface OpenSession extends Session {
  sequence: number;
  readonly swarms: Set<Swarm>;
  /** Swarms of which it has yet to hear the info-hashes. */
  readonly news: Set<Swarm>;
  /** Those of them that the last answer was about. */
  told: readonly Swarm[];
}

/** The tracker already knows as many members as it may. */
export class MembersFullError extends Error {
  override readonly name = 'MembersFullError';
}

export interface MemberStoreParts {
  readonly table: SwarmTable;
  readonly now: () => number;
  readonly random: () => number;
}

export type MemberStoreLimits = Pick<
  TrackerLimits,
  'maxMembers' | 'maxSwarms' | 'maxMemberships' | 'maxSwarmsPerMember'
>;

/**
 * The agents and origins in session and the swarms each is in. A member that is not heard of for the
 * timeout is forgotten with all its seats; its heartbeat keeps them all, so the cost of staying does
 * not grow with what it holds.
 */
export class MemberStore {
  readonly #parts: MemberStoreParts;
  readonly #limits: MemberStoreLimits;
  readonly #crossing: { readonly maxCrossZone?: number };
  readonly #sessions = new Map<string, OpenSession>();
  readonly #expiry: ExpiryQueue<OpenSession>;
  #memberships = 0;

  constructor(
    parts: MemberStoreParts,
    options: { limits: MemberStoreLimits; timeoutMs: number; maxCrossZone?: number },
  ) {
    this.#parts = parts;
    this.#crossing = options.maxCrossZone === undefined ? {} : { maxCrossZone: options.maxCrossZone };
    this.#limits = options.limits;
    this.#expiry = new ExpiryQueue(options.timeoutMs);
  }

  get members(): number {
    return this.#sessions.size;
  }

  get memberships(): number {
    return this.#memberships;
  }

  /**
   * Starts a member's session anew: what an earlier one told is forgotten.
   * @throws MembersFullError
   */
  start(member: MemberDescription, session: string): Session {
    this.end(member.id);
    if (this.#sessions.size >= this.#limits.maxMembers) {
      throw new MembersFullError(
        `the tracker already knows ${this.#limits.maxMembers} members, as many as it may`,
      );
    }
    const opened = {
      member,
      session,
      sequence: 0,
      swarms: new Set<Swarm>(),
      news: new Set<Swarm>(),
      told: [],
    };
    this.#sessions.set(member.id, opened);
    this.#expiry.touch(opened, this.#parts.now());
    return opened;
  }

  /** The session of that member and name, kept from timing out by having been asked for. */
  touch(peerId: string, session: string): Session | undefined {
    const open = this.#sessions.get(peerId);
    if (open?.session !== session) return undefined;
    this.#expiry.touch(open, this.#parts.now());
    return open;
  }

  /** Notes that the member's next message is here, so it has had the answer to the one before. */
  advance(peerId: string, sequence: number): void {
    const open = this.#sessions.get(peerId);
    if (open === undefined || open.sequence === sequence) return;
    open.sequence = sequence;
    for (const swarm of open.told) open.news.delete(swarm);
    open.told = [];
  }

  /** Forgets a member with all its seats. */
  end(peerId: string): void {
    const open = this.#sessions.get(peerId);
    if (open === undefined) return;
    this.#sessions.delete(peerId);
    this.#expiry.delete(open);
    for (const swarm of open.swarms) this.#unseat(open, swarm);
  }

  /** Seats a member in a swarm, or updates its seat. Undefined: done; else what there is too much of. */
  join(
    peerId: string,
    swarmId: string,
    options: { complete: boolean; digest?: string | undefined },
  ): Refusal | undefined {
    const open = this.#sessions.get(peerId);
    if (open === undefined) return undefined;
    const known = this.#parts.table.swarm(swarmId);
    if (known?.members.get(peerId) === undefined) {
      const refusal = this.#refusal(open, known !== undefined);
      if (refusal !== undefined) return refusal;
      this.#memberships++;
    }
    const swarm = this.#parts.table.ensure(swarmId, options.digest);
    swarm.members.set(open.member, options.complete);
    open.swarms.add(swarm);
    if ((swarm.blob?.aliases.size ?? 0) > 0) open.news.add(swarm);
    return undefined;
  }

  setComplete(peerId: string, swarmId: string, complete: boolean): void {
    this.#parts.table.swarm(swarmId)?.members.setComplete(peerId, complete);
  }

  leave(peerId: string, swarmId: string): void {
    const open = this.#sessions.get(peerId);
    const swarm = this.#parts.table.swarm(swarmId);
    if (open !== undefined && swarm !== undefined && open.swarms.has(swarm)) this.#unseat(open, swarm);
  }

  /** Ties an info-hash to the blob of a swarm that has members; from origins only. False: not applied. */
  addAlias(peerId: string, alias: { swarm: string; infoHash: string; digest: string }): boolean {
    const { table } = this.#parts;
    if (this.#sessions.get(peerId)?.member.role !== 'origin') return false;
    const known = table.alias(alias.infoHash) !== undefined;
    if (!table.addAlias(alias, MAX_ALIASES_PER_SWARM)) return false;
    if (!known) this.#spread(table.alias(alias.infoHash)!);
    return true;
  }

  /** Swarms of which the member has yet to hear the info-hashes, `max` at most; told again until it has had the answer. */
  news(peerId: string, max: number): string[] {
    const open = this.#sessions.get(peerId);
    if (open === undefined) return [];
    open.told = [...open.news.values().take(max)];
    return open.told.map(({ id }) => id);
  }

  /** Whom a member of the swarm is told of. Undefined if it is not in it. */
  handOut(peerId: string, swarmId: string, want: number, strangers: boolean): SwarmPeers | undefined {
    const swarm = this.#parts.table.swarm(swarmId);
    const seat = swarm?.members.get(peerId);
    if (swarm === undefined || seat === undefined) return undefined;
    const asker = { ...seat.member, complete: seat.complete };
    const { random } = this.#parts;
    return {
      peers: swarm.members
        .handOut({ asker, want, random, ...this.#crossing })
        .map((peer) => shoalAddress(peer)),
      complete: swarm.members.complete - (seat.complete ? 1 : 0),
      incomplete: swarm.members.incomplete - (seat.complete ? 0 : 1),
      aliases: strangers ? this.#aliases(swarm, asker, Math.min(want, STRANGERS_PER_ALIAS)) : [],
    };
  }

  #aliases(swarm: Swarm, asker: Member & { complete: boolean }, want: number): SwarmPeers['aliases'] {
    const aliases = [...(swarm.blob?.aliases.values() ?? [])];
    const { random } = this.#parts;
    return aliases.map((alias) => ({
      infoHash: alias.infoHash,
      peers: alias.strangers
        .handOut({ asker: { ...asker, place: NOWHERE }, want, random })
        .map((peer) => strangerAddress(peer)),
    }));
  }

  /** Shoal peers for a stranger under an info-hash: complete ones, and any in the blob's live swarms. */
  handOutToStranger(alias: Alias, asker: Member & { complete: boolean }, want: number): Seat<ShoalMember>[] {
    const { random } = this.#parts;
    const seats = new Map<string, Seat<ShoalMember>>();
    for (const swarm of alias.blob.swarms) {
      const left = want - seats.size;
      if (left <= 0) break;
      const completeOnly = swarm.id === alias.verifiedSwarm;
      const found = swarm.members.handOut({ asker, want: left, completeOnly, random });
      for (const seat of found) seats.set(seat.member.id, seat);
    }
    return [...seats.values()];
  }

  /** Complete copies of a swarm's content held by others than that member. */
  replicas(swarmId: string, exceptPeerId: string): number {
    const members = this.#parts.table.swarm(swarmId)?.members;
    if (members === undefined) return 0;
    return members.complete - (members.get(exceptPeerId)?.complete === true ? 1 : 0);
  }

  /**
   * Forgets members whose time is over, the longest silent first, until about `budget` seats are gone.
   * @returns the ids of those forgotten.
   */
  sweep(budget: number): string[] {
    const gone: string[] = [];
    for (let left = budget; left > 0;) {
      const open = this.#expiry.expired(this.#parts.now());
      if (open === undefined) break;
      left -= 1 + open.swarms.size;
      gone.push(open.member.id);
      this.end(open.member.id);
    }
    return gone;
  }

  /** Who holds the blob must know the info-hash to answer strangers by it, also who asks for no peers any more. */
  #spread(alias: Alias): void {
    for (const swarm of alias.blob.swarms) {
      for (const { id } of swarm.members.members()) {
        const open = this.#sessions.get(id)!;
        open.news.add(swarm);
        // What it was told of the swarm did not have this one.
        open.told = open.told.filter((told) => told !== swarm);
      }
    }
  }

  #refusal(open: OpenSession, swarmKnown: boolean): Refusal | undefined {
    const { maxSwarms, maxMemberships, maxSwarmsPerMember } = this.#limits;
    if (open.swarms.size >= maxSwarmsPerMember) return 'too many swarms of one member';
    if (this.#memberships >= maxMemberships) return 'too many memberships';
    if (!swarmKnown && this.#parts.table.size >= maxSwarms) return 'too many swarms';
    return undefined;
  }

  #unseat(open: OpenSession, swarm: Swarm): void {
    open.swarms.delete(swarm);
    open.news.delete(swarm);
    swarm.members.delete(open.member.id);
    this.#memberships--;
    if (swarm.members.size === 0) this.#parts.table.drop(swarm);
  }
}

function shoalAddress({ member, complete }: Seat<ShoalMember>): PeerAddress {
  return { id: member.id, host: member.host, port: member.port, role: member.role, complete };
}

function strangerAddress({ member, complete }: Seat<Stranger>): PeerAddress {
  return { id: member.id, host: member.ip, port: member.port, role: 'stranger', complete };
}

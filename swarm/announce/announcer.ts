import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Dispatcher } from 'undici';

import type { Digest } from '#registry/digest.ts';

import { AnnounceLoop } from './announce-loop.ts';
import type { AnnounceLogger } from './announce-loop.ts';
import { ASK_SPACING_MS, LEASE_TIMEOUT_MS, REQUEST_TIMEOUT_MS } from './constants.ts';
import { Ledger } from './ledger.ts';
import { LeaseAnswer, MAX_SWARMS_PER_MESSAGE, MAX_WANT, ReplicasAnswer } from './messages.ts';
import type { AnnounceAnswer, LeaseRequest, Self, SwarmPeers, Trouble } from './messages.ts';
import { TrackerClient, TrackerUnreachableError } from './tracker-client.ts';
import type { Question, TrackerList } from './tracker-client.ts';

export type { SwarmPeers };
export { TrackerUnreachableError };

export interface AnnouncerParts {
  /** Not closed by the announcer. */
  readonly dispatcher: Dispatcher;
  /** While there are none, nobody is told or asked. */
  readonly trackers: TrackerList;
  /** Whether trackers speak TLS. */
  readonly secure: boolean;
  readonly logger: AnnounceLogger;
  /** What is told to the tracker with each message; nothing by default. */
  readonly troubles?: () => readonly Trouble[];
  /** The tracker tells where this member is. */
  readonly onPlace: (place: NonNullable<AnnounceAnswer['place']>) => void;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

/** What the tracker tells others of this process. */
export interface AnnouncerSelf {
  /** Hex, 40 digits. */
  readonly peerId: string;
  readonly role: 'agent' | 'origin';
  /** Where peers reach it, IPv6 without brackets; undefined: the address that the tracker sees. */
  readonly host?: string | undefined;
  readonly port: number;
  readonly topology: {
    readonly node?: string | undefined;
    readonly rack?: string | undefined;
    readonly zone?: string | undefined;
    readonly region?: string | undefined;
  };
}

export interface JoinOptions {
  readonly complete: boolean;
  /** Peers wanted at once, at most 200. */
  readonly want: number;
  readonly digest?: Digest | undefined;
}

/** Being in a swarm. After `leave` the calls do nothing. */
export interface Membership {
  update(options: { complete: boolean }): void;
  /** Asks for more peers, soon: asks of one swarm are kept about a second apart. */
  more(want: number): void;
  leave(): void;
}

export interface Lease {
  readonly granted: boolean;
  /** Granted: how long it lasts unless asked for again. Else 0. */
  readonly ttlMs: number;
  /** Not granted: when to ask again. Else 0. */
  readonly retryAfterMs: number;
  /** Not granted, and told by a tracker that counts them: how many wait for a lease of this blob. */
  readonly waiting?: number;
}

interface Member {
  complete: boolean;
  readonly onPeers: (peers: SwarmPeers) => void;
}

/** A swarm that somebody here is in. */
interface Joined {
  readonly members: Set<Member>;
  /** When the swarm may next be asked about. */
  askAt: number;
  askTimer: NodeJS.Timeout | undefined;
}

/**
 * Tells a tracker of all the swarms that this process is in, in one message for all that changed, and hands
 * the peers that it names to who joined. While no tracker answers, all of it is kept and told later.
 */
export class Announcer implements AsyncDisposable {
  readonly #parts: AnnouncerParts;
  readonly #peerId: string;
  readonly #client: TrackerClient;
  readonly #ledger = new Ledger();
  readonly #loop: AnnounceLoop;
  readonly #joined = new Map<string, Joined>();
  readonly #following: Disposable;
  readonly #closing = new AbortController();

  /** @throws TypeError for a tracker that is not `host:port` */
  constructor(parts: AnnouncerParts, self: AnnouncerSelf) {
    this.#parts = parts;
    this.#peerId = self.peerId;
    this.#client = new TrackerClient(parts);
    const { logger, random, now } = parts;
    const onAnswer = (answer: AnnounceAnswer): void => this.#onAnswer(answer);
    const troubles = parts.troubles ?? (() => []);
    const loopParts = { client: this.#client, ledger: this.#ledger, logger, random, now, onAnswer, troubles };
    this.#loop = new AnnounceLoop(loopParts, self.peerId, describe(self));
    this.#following = parts.trackers.onChange(() => this.#loop.trackersChanged());
  }

  /** Whether the last message was answered; true before there was one. */
  get reachable(): boolean {
    return this.#loop.failures === 0;
  }

  /**
   * Announces at once; `onPeers` is called with each answer that is about this swarm. A swarm may be joined
   * by several in this process: to others it is one member, complete as soon as one of them is.
   * @param swarmId hex, 40 digits
   * @throws Error if the announcer is closed
   */
  join(swarmId: string, options: JoinOptions, onPeers: (peers: SwarmPeers) => void): Membership {
    this.#closing.signal.throwIfAborted();
    const member: Member = { complete: options.complete, onPeers };
    const joined = this.#enter(swarmId, member, options);
    const whileJoined = (act: () => void): void => {
      if (!joined.members.has(member)) return;
      act();
      this.#loop.wake();
    };
    this.#loop.wake();
    return {
      update: ({ complete }) =>
        whileJoined(() => {
          member.complete = complete;
          this.#ledger.setComplete(swarmId, isComplete(joined));
        }),
      more: (want) => whileJoined(() => this.#askSoon(swarmId, joined, bounded(want))),
      leave: () => whileJoined(() => this.#leave(swarmId, joined, member)),
    };
  }

  /** An origin's: the blob of a swarm it is in, or joins later, has an info-hash (hex). Ends when the swarm is left. */
  registerAlias(swarmId: string, infoHash: string, digest: Digest): void {
    this.#ledger.setAlias(swarmId, { infoHash, digest });
    this.#loop.wake();
  }

  /**
   * Asks to read a blob from upstream, or to go on with it. A tracker that does not answer soon is passed over.
   * @param scope `verified` or the registry
   * @throws TrackerUnreachableError; the signal's reason
   */
  async lease(digest: Digest, scope: string, signal: AbortSignal): Promise<Lease> {
    const body: LeaseRequest = { peerId: this.#peerId, digest, scope };
    const undo = { method: 'DELETE', path: '/v1/leases', body } as const;
    const question = { method: 'POST', path: '/v1/leases', body, answer: LeaseShape, undo } as const;
    return this.#ask(question, signal, LEASE_TIMEOUT_MS);
  }

  /**
   * Gives a lease back before its time; untold, it runs out.
   * @throws TrackerUnreachableError; the signal's reason
   */
  async release(digest: Digest, scope: string, signal: AbortSignal): Promise<void> {
    const body: LeaseRequest = { peerId: this.#peerId, digest, scope };
    await this.#ask({ method: 'DELETE', path: '/v1/leases', body, answer: Nothing }, signal);
  }

  /**
   * How many others of the cluster hold each swarm's content whole.
   * @throws TrackerUnreachableError; the signal's reason
   */
  async replicas(swarmIds: readonly string[], signal: AbortSignal): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (let at = 0; at < swarmIds.length; at += MAX_SWARMS_PER_MESSAGE) {
      const swarms = swarmIds.slice(at, at + MAX_SWARMS_PER_MESSAGE);
      const body = { peerId: this.#peerId, swarms };
      const question = { method: 'POST', path: '/v1/replicas', body, answer: ReplicasShape } as const;
      const { counts } = await this.#ask(question, signal);
      for (const [index, swarm] of swarms.entries()) found.set(swarm, counts[index] ?? 0);
    }
    return found;
  }

  /** Says goodbye, if a tracker can be reached within a second. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('the announcer is closed'));
    for (const { askTimer, members } of this.#joined.values()) {
      clearTimeout(askTimer);
      members.clear();
    }
    this.#joined.clear();
    this.#following[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #enter(swarmId: string, member: Member, { want, digest }: JoinOptions): Joined {
    const known = this.#joined.get(swarmId);
    if (known !== undefined) {
      known.members.add(member);
      this.#ledger.setComplete(swarmId, isComplete(known));
      this.#ledger.ask(swarmId, bounded(want));
      return known;
    }
    const joined = { members: new Set([member]), askAt: this.#nextAsk(), askTimer: undefined };
    this.#joined.set(swarmId, joined);
    this.#ledger.join(swarmId, { complete: member.complete, want: bounded(want), digest });
    return joined;
  }

  #leave(swarmId: string, joined: Joined, member: Member): void {
    joined.members.delete(member);
    if (joined.members.size > 0) {
      this.#ledger.setComplete(swarmId, isComplete(joined));
      return;
    }
    clearTimeout(joined.askTimer);
    this.#joined.delete(swarmId);
    this.#ledger.leave(swarmId);
  }

  #askSoon(swarmId: string, joined: Joined, want: number): void {
    const wait = joined.askAt - this.#parts.now();
    if (wait <= 0) {
      joined.askAt = this.#nextAsk();
      this.#ledger.ask(swarmId, want);
      return;
    }
    clearTimeout(joined.askTimer);
    const ask = (): void => {
      this.#askSoon(swarmId, joined, want);
      this.#loop.wake();
    };
    joined.askTimer = setTimeout(ask, wait).unref();
  }

  #nextAsk(): number {
    return this.#parts.now() + ASK_SPACING_MS * (0.5 + this.#parts.random());
  }

  #onAnswer(answer: AnnounceAnswer): void {
    if (answer.place !== undefined) this.#parts.onPlace(answer.place);
    for (const { swarm, ...peers } of answer.swarms ?? []) {
      // Taking peers in may join or leave.
      const members = [...(this.#joined.get(swarm)?.members ?? [])];
      for (const member of members) {
        try {
          member.onPeers(peers);
        } catch (error) {
          this.#parts.logger.error({ err: error, swarm }, 'peers could not be taken in');
        }
      }
    }
  }

  #ask<A>(
    question: Omit<Question<A>, 'timeoutMs'>,
    signal: AbortSignal,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<A> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    return this.#client.askAny({ ...question, timeoutMs }, either);
  }
}

const LeaseShape = Compile(LeaseAnswer);
const ReplicasShape = Compile(ReplicasAnswer);
const Nothing = Compile(Type.Null());

function bounded(want: number): number {
  return Math.max(0, Math.min(MAX_WANT, Math.floor(want)));
}

function isComplete({ members }: Joined): boolean {
  return members.values().some(({ complete }) => complete);
}

/** Only what is known: an absent name is left out, not sent as null. */
function describe({ role, host, port, topology }: AnnouncerSelf): Self {
  const known = Object.entries(topology).filter(([, name]) => name !== undefined && name !== '');
  return { role, port, ...(host !== undefined && { host }), topology: Object.fromEntries(known) };
}

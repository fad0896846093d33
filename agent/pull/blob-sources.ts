import { asError } from '#registry/as-error.ts';
import type { Digest } from '#registry/digest.ts';
import type { ByteRange } from '#registry/range.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { OriginPeer } from '#agent/origin-answer.ts';
import type { KnownFacts } from '#agent/rights/known-facts.ts';
import { type HeldContent, type Proof, proveByRange } from '#agent/rights/provenance.ts';
import { PROOF_PATIENCE_MS } from '#agent/defaults.ts';
import { SharedWork } from '#agent/shared-work.ts';
import type { Caller, Upstream } from '#agent/upstream.ts';
import type { Trust } from '#swarm/session/engine.ts';
import { type Access, deniedByFailure, type Granted } from './access.ts';
import { passVerified } from './direct.ts';
import type { OriginState, RunningPull } from './running-pull.ts';
import type { RunningPulls } from './running-pulls.ts';
import { readCounted, readGuarded, readJoined } from './streams.ts';
import type { CountBytes, PullTorrent, Swarm } from './swarm.ts';

/** One caller's wish for one blob. */
export interface Wish {
  readonly caller: Caller;
  readonly digest: Digest;
  readonly signal: AbortSignal;
}

export interface BlobSourcesParts {
  readonly upstream: Pick<Upstream, 'get'>;
  readonly swarm: Swarm;
  readonly running: RunningPulls;
  readonly known: KnownFacts;
  /** A random whole number from 0 up to, and without, `below`. */
  readonly randomInt: (below: number) => number;
  readonly events: Pick<AgentEvents, 'proved' | 'swarmRefused'>;
  /** Ends with the agent. */
  readonly signal: AbortSignal;
}

/** A torrent to read from, and how far its bytes are vouched for. */
export interface TorrentWish {
  readonly size: number;
  /** `unproved`: the caller's registry has to prove to have the bytes as they come. */
  readonly trust: Trust;
  /** An origin that is in the swarm of that scope; without it none answers. */
  readonly origin?: { readonly peer: OriginPeer; readonly scope: string } | undefined;
}

/** Where a blob's bytes can be had: store, swarm, and upstream itself. Rights to the repository are settled before. */
export class BlobSources {
  readonly #parts: BlobSourcesParts;
  readonly #proving = new SharedWork<Proof>();
  /** Their bytes may be another registry's: each reader waits for the proof. */
  readonly #unproved = new WeakSet<PullTorrent>();

  constructor(parts: BlobSourcesParts) {
    this.#parts = parts;
  }

  /** What the store holds. The caller's registry has delivered it. */
  async stored(digest: Digest): Promise<Granted | undefined> {
    const blob = await this.#parts.swarm.openStored(digest);
    if (blob === undefined) return undefined;
    return {
      kind: 'granted',
      size: blob.size,
      open: (range, signal, count) =>
        readCounted(blob.read(range.start, range.end + 1, signal), count, 'cache'),
      [Symbol.asyncDispose]: () => blob[Symbol.asyncDispose](),
    };
  }

  /** What the store holds, if the caller's registry proves to have it too; else the registry's own bytes. */
  async storedIfProved(wish: Wish, size: number): Promise<Access | undefined> {
    const stored = await this.stored(wish.digest);
    if (stored === undefined) return undefined;
    const held: HeldContent = {
      digest: wish.digest,
      size,
      read: (range, signal) => readJoined(stored.open(range, signal, () => {})),
    };
    const proof = stored.size === size ? await this.#prove(wish.caller, held, wish.signal) : OTHER_SIZE;
    if (proof.kind === 'proved') return stored;
    await stored[Symbol.asyncDispose]();
    return proof.kind === 'refuted' ? this.direct(wish) : deniedByFailure(proof);
  }

  /** The swarm's. Where it had wrong bytes of late, or can take no more, upstream's own are taken. */
  async torrent(wish: Wish, { size, trust, origin }: TorrentWish): Promise<Access> {
    const { swarm, events } = this.#parts;
    const { digest, caller } = wish;
    const { registry } = caller;
    if (swarm.poisoned(digest, registry)) return this.direct(wish);
    let torrent: PullTorrent;
    try {
      torrent = await swarm.torrent({ digest, scope: registry, size, trust });
    } catch (error) {
      events.swarmRefused(digest, asError(error));
      return this.direct(wish);
    }
    if (trust === 'unproved') this.#unproved.add(torrent);
    if (origin !== undefined) torrent.addPeer({ ...origin.peer, role: 'origin', scope: origin.scope });
    return this.#reading(wish, torrent, origin === undefined ? 'lost' : 'serving');
  }

  /** Whether a download runs that takes nothing but what the registry delivered, or is known to have. */
  isRunning(digest: Digest, registry: string): boolean {
    return this.#findRunning(digest, registry) !== undefined;
  }

  /** Such a download. */
  async running(wish: Wish): Promise<Access | undefined> {
    const { digest, caller } = wish;
    const found = this.#findRunning(digest, caller.registry);
    if (found === undefined) return undefined;
    const { scope, size } = found;
    const torrent = await this.#parts.swarm.torrent({ digest, scope, size });
    return this.#reading(wish, torrent, undefined);
  }

  #findRunning(digest: Digest, registry: string): PullTorrent | undefined {
    return this.#parts.running.find(
      (torrent) => torrent.digest === digest && torrent.scope === registry && !this.#unproved.has(torrent),
    );
  }

  /** Upstream's own bytes and nothing else. */
  async direct({ caller, digest, signal }: Wish): Promise<Access> {
    const gone = new AbortController();
    const reading = AbortSignal.any([signal, gone.signal]);
    const answer = await this.#parts.upstream.get({ caller, resource: { kind: 'blob', digest } }, reading);
    if (answer.kind !== 'ok') return deniedByFailure(answer);
    const { size } = answer.told;
    if (size === undefined) {
      gone.abort();
      return { kind: 'unavailable', cause: new Error('upstream does not tell the size of the blob') };
    }
    return {
      kind: 'granted',
      size,
      open: (range, _signal, count) =>
        readCounted(passVerified(answer.body, digest, size, range), count, 'upstream'),
      [Symbol.asyncDispose]: async () => gone.abort(),
    };
  }

  #reading(wish: Wish, torrent: PullTorrent, origin: OriginState | undefined): Granted {
    const { caller, digest } = wish;
    const { running, known, signal: life } = this.#parts;
    const use = running.use(torrent, origin);
    const unproved = this.#unproved.has(torrent);
    // All that any other takes was delivered by the registry, or is known to be what it has.
    if (!unproved) torrent.note(factsOf(caller));
    torrent.whenComplete(life).then(
      () => known.settle(digest),
      () => {},
    );
    return {
      kind: 'granted',
      size: torrent.size,
      open: (range, signal, count) =>
        unproved
          ? this.#guarded({ ...wish, signal }, use.pull, range, count)
          : use.pull.read(caller, range, signal, count),
      [Symbol.asyncDispose]: async () => {
        use[Symbol.dispose]();
        torrent.release();
      },
    };
  }

  #guarded(wish: Wish, pull: RunningPull, range: ByteRange, count: CountBytes): AsyncGenerator<Buffer> {
    const { torrent } = pull;
    const held: HeldContent = {
      digest: torrent.digest,
      size: torrent.size,
      read: ({ start, end }, signal) => readJoined(torrent.read(start, end + 1, signal)),
    };
    return readGuarded(
      {
        swarm: (counting) => this.#readAndLearn(wish, pull, range, counting),
        isOwn: () =>
          this.#parts.known.isDelivered(wish.digest, wish.caller.registry) ||
          isAloneFrom(wish.caller, torrent),
        prove: async () => {
          const proof = await this.#prove(wish.caller, held, wish.signal);
          if (proof.kind === 'proved') this.#settle(torrent, wish.caller);
          return proof;
        },
        direct: (without) => this.#openDirect(wish, { ...range, start: range.start + without }, count),
      },
      count,
    );
  }

  /** A registry whose bytes alone made up the whole has delivered it. */
  async *#readAndLearn(
    { caller, digest, signal }: Wish,
    pull: RunningPull,
    range: ByteRange,
    count: CountBytes,
  ): AsyncGenerator<Buffer> {
    yield* pull.read(caller, range, signal, count);
    const { torrent } = pull;
    if (!torrent.complete || !isAloneFrom(caller, torrent)) return;
    this.#settle(torrent, caller);
    this.#parts.known.learnDelivered(digest, caller.registry, caller.repository, { size: torrent.size });
  }

  /** The registry delivered what the torrent takes, or proved to have it: it serves those who come next without a proof. */
  #settle(torrent: PullTorrent, caller: Caller): void {
    torrent.note(factsOf(caller));
    this.#unproved.delete(torrent);
    this.#parts.swarm.proved(torrent);
  }

  async *#openDirect(wish: Wish, range: ByteRange, count: CountBytes): AsyncGenerator<Buffer> {
    const access = await this.direct(wish);
    if (access.kind !== 'granted')
      throw access.kind === 'unavailable' ? access.cause : new Error('upstream refused the read');
    await using granted = access;
    yield* granted.open(range, wish.signal, count);
  }

  /** Requests that run side by side for the same content share one proof. */
  async #prove(caller: Caller, held: HeldContent, signal: AbortSignal): Promise<Proof> {
    const { registry, repository, authorization = '' } = caller;
    const key = [held.digest, registry, repository, authorization].join(' ');
    let isOwn = false;
    const prove = (shared: AbortSignal): Promise<Proof> => {
      isOwn = true;
      return this.#proveAlone(caller, held, shared);
    };
    try {
      return await this.#proving.run(key, signal, prove);
    } catch (error) {
      // Whoever began may have closed what it was reading from.
      if (isOwn || signal.aborted) throw error;
      return prove(signal);
    }
  }

  async #proveAlone(caller: Caller, held: HeldContent, signal: AbortSignal): Promise<Proof> {
    const { upstream, randomInt, known, events } = this.#parts;
    const soon = AbortSignal.timeout(PROOF_PATIENCE_MS);
    const soonHeld: HeldContent = {
      ...held,
      read: (range, reading) => held.read(range, AbortSignal.any([reading, soon])),
    };
    const proof = await proveByRange({ upstream, randomInt }, caller, soonHeld, signal).catch(
      (error: unknown): Proof => {
        // What peers do not give in time proves nothing; the runtime is not to wait for it.
        if (soon.aborted && !signal.aborted) return NOT_GIVEN;
        throw error;
      },
    );
    // Of the registry that says nothing.
    if (proof !== NOT_GIVEN) events.proved(caller, held.digest, proof);
    if (proof.kind === 'proved')
      known.learnDelivered(held.digest, caller.registry, caller.repository, { size: held.size });
    return proof;
  }
}

const NOT_GIVEN: Proof = { kind: 'refuted', reason: 'peers do not give the places that were chosen' };
const OTHER_SIZE: Proof = { kind: 'refuted', reason: 'the registry tells another size' };

/** Every byte so far came from the caller's registry itself; who gave what an earlier run left is not known. */
function isAloneFrom({ registry }: Caller, { scope, sources }: PullTorrent): boolean {
  return scope === registry && sources.peer + sources.origin + sources.cache === 0;
}

function factsOf({ registry, repository }: Caller): { registries: string[]; repositories: string[] } {
  return { registries: [registry], repositories: [`${registry}/${repository}`] };
}

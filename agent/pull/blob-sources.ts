import { asError } from '#agent/as-error.ts';
import type { Digest } from '#registry/digest.ts';
import type { ByteRange } from '#registry/range.ts';
import type { AgentEvents } from '#agent/events.ts';
import type { OriginPeer } from '#agent/origin-answer.ts';
import type { KnownFacts } from '#agent/rights/known-facts.ts';
import { type HeldContent, type Proof, proveByRange } from '#agent/rights/provenance.ts';
import { SharedWork } from '#agent/shared-work.ts';
import type { Caller, Upstream } from '#agent/upstream.ts';
import { type Access, deniedByFailure, type Granted } from './access.ts';
import { passVerified } from './direct.ts';
import type { OriginState, RunningPull } from './running-pull.ts';
import type { RunningPulls } from './running-pulls.ts';
import { type OpenedBlob, readStored } from './stored.ts';
import { readCounted, readGuarded, readJoined } from './streams.ts';
import type { CountBytes, PullTorrent, Swarm } from './swarm.ts';

/** One caller's wish for one blob. */
export interface Wish {
  readonly caller: Caller;
  readonly digest: Digest;
  readonly signal: AbortSignal;
}

export interface BlobSourcesParts {
  readonly store: { open(digest: Digest): Promise<OpenedBlob | undefined> };
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
  readonly scope: string;
  readonly size: number;
  /** An origin that is in the swarm; without it none answers. */
  readonly peer?: OriginPeer | undefined;
  /** Whether the caller's registry delivered these bytes; else it has to prove to have them as they come. */
  readonly delivered: boolean;
}

/** Where a blob's bytes can be had: store, swarm, and upstream itself. Rights to the repository are settled before. */
export class BlobSources {
  readonly #parts: BlobSourcesParts;
  readonly #proving = new SharedWork<Proof>();

  constructor(parts: BlobSourcesParts) {
    this.#parts = parts;
  }

  /** What the store holds. The caller's registry has delivered it. */
  async stored(digest: Digest): Promise<Granted | undefined> {
    const blob = await this.#parts.store.open(digest);
    if (blob === undefined) return undefined;
    return {
      kind: 'granted',
      size: blob.size,
      open: (range, signal, count) => readCounted(readStored(blob, range, signal), count, 'cache'),
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
  async torrent(wish: Wish, { scope, size, peer, delivered }: TorrentWish): Promise<Access> {
    const { swarm, known, events } = this.#parts;
    const { digest, caller } = wish;
    if (swarm.poisoned(digest, scope)) return this.direct(wish);
    let torrent: PullTorrent;
    try {
      torrent = await swarm.torrent({ digest, scope, size });
    } catch (error) {
      events.swarmRefused(digest, asError(error));
      return this.direct(wish);
    }
    if (peer !== undefined) torrent.addPeer({ ...peer, role: 'origin' });
    if (delivered) known.learnDelivered(digest, caller.registry, caller.repository, { size });
    return this.#reading(wish, torrent, peer === undefined ? 'lost' : 'serving', delivered);
  }

  /** Whether the blob is being read from a torrent of one of those scopes. */
  isRunning(digest: Digest, scopes: readonly string[]): boolean {
    return this.#parts.running.find(digest, scopes) !== undefined;
  }

  /** A download of this blob that already runs for a caller's registry which delivered it. */
  async running(wish: Wish, scopes: readonly string[]): Promise<Access | undefined> {
    const found = this.#parts.running.find(wish.digest, scopes);
    if (found === undefined) return undefined;
    const { scope, size } = found;
    const torrent = await this.#parts.swarm.torrent({ digest: wish.digest, scope, size });
    return this.#reading(wish, torrent, undefined, true);
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

  #reading(wish: Wish, torrent: PullTorrent, origin: OriginState | undefined, delivered: boolean): Granted {
    const { caller, digest } = wish;
    const { running, known, signal: life } = this.#parts;
    const use = running.use(torrent, origin);
    if (delivered) torrent.note(factsOf(caller));
    torrent.whenComplete(life).then(
      () => known.settle(digest),
      () => {},
    );
    return {
      kind: 'granted',
      size: torrent.size,
      open: (range, signal, count) =>
        delivered
          ? use.pull.read(caller, range, signal, count)
          : this.#guarded({ ...wish, signal }, use.pull, range, count),
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
          if (proof.kind === 'proved') torrent.note(factsOf(wish.caller));
          return proof;
        },
        direct: () => this.#openDirect(wish, range, count),
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
    torrent.note(factsOf(caller));
    this.#parts.known.learnDelivered(digest, caller.registry, caller.repository, { size: torrent.size });
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
    const proof = await proveByRange({ upstream, randomInt }, caller, held, signal);
    events.proved(caller, held.digest, proof);
    if (proof.kind === 'proved')
      known.learnDelivered(held.digest, caller.registry, caller.repository, { size: held.size });
    return proof;
  }
}

const OTHER_SIZE: Proof = { kind: 'refuted', reason: 'the registry tells another size' };

/** Every byte so far came from the caller's registry itself. */
function isAloneFrom({ registry }: Caller, { scope, sources }: PullTorrent): boolean {
  return scope === registry && sources.peer + sources.origin + sources.cache === 0;
}

function factsOf({ registry, repository }: Caller): { registries: string[]; repositories: string[] } {
  return { registries: [registry], repositories: [`${registry}/${repository}`] };
}

import type { BlobRead } from '#registry/blob-read.ts';
import type { Digest } from '#registry/digest.ts';
import type { Upstream } from '#registry/upstream.ts';
import { asError } from '#registry/as-error.ts';
import { UpstreamProtocolError, UpstreamRefusedError } from '#registry/upstream-error.ts';
import type { Bandwidth } from '#swarm/session/bandwidth.ts';
import type { Engine } from '#swarm/session/engine.ts';
import { DigestMismatchError } from '#swarm/session/errors.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import type { Torrent } from '#swarm/session/torrent.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { LruMap } from '#service/lru-map.ts';
import type { Caller } from './caller.ts';
import { MAX_INTERRUPTED, RECOVERY_MS } from './defaults.ts';
import { isUpstreamsFault, NobodyWaitsError } from './errors.ts';
import type { OriginEvents } from './events.ts';
import type { HashSigner } from './hash-signer.ts';
import type { ReadOutcome } from './metrics.ts';
import { type HeldContent, openHeld, type Provenance } from './provenance.ts';
import { discardContradiction, Reading } from './reading.ts';
import { UpstreamReader, type UpstreamReaderOptions } from './upstream-reader.ts';
import { WaitingCallers } from './waiting-callers.ts';

export interface ReadingsParts {
  readonly upstream: Pick<Upstream, 'readBlob'>;
  readonly engine: Pick<Engine, 'torrent'>;
  readonly store: BlobStore;
  readonly provenance: Provenance;
  readonly signer: HashSigner;
  /** Of all that is read from upstream. */
  readonly bandwidth: Bandwidth;
  readonly events: OriginEvents;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly random: () => number;
}

/** How a read begins. */
export interface Beginning {
  /** Of the blob, as upstream tells it. */
  readonly size: number;
  /** The answer to the request that opened the read, where it is a body from the first byte on. */
  readonly body?: BlobRead;
  /** The swarm may hold pieces that another origin read. */
  readonly isTakeOver: boolean;
}

/** The reads that run, one for each digest and registry: a registry that lies or trickles harms only those who asked it. */
export class Readings implements AsyncDisposable {
  readonly #parts: ReadingsParts;
  readonly #options: UpstreamReaderOptions;
  readonly #running = new Map<string, Reading>();
  readonly #runs = new Set<Promise<void>>();
  readonly #interrupted = new LruMap<string, true>(MAX_INTERRUPTED);
  readonly #stop = new AbortController();
  readonly #recoveredAt: number;

  constructor(parts: ReadingsParts, options: UpstreamReaderOptions) {
    this.#parts = parts;
    this.#options = options;
    const leftOver = parts.store.usage().partialBytes > 0;
    this.#recoveredAt = parts.now() + (leftOver ? RECOVERY_MS : 0);
  }

  get size(): number {
    return this.#running.size;
  }

  find(digest: Digest, registry: string): Reading | undefined {
    return this.#running.get(keyOf(digest, registry));
  }

  /** Whether some of the blob may lie here from an earlier read, so that it is not to be asked for as a whole. */
  expectsPieces(digest: Digest, registry: string): boolean {
    return (
      this.#parts.now() < this.#recoveredAt || this.#interrupted.get(keyOf(digest, registry)) !== undefined
    );
  }

  /**
   * Begins the read of a blob, in the background.
   * @returns false where the store has got the blob meanwhile
   * @throws TooManyTorrentsError, StoreError
   */
  async begin(caller: Caller, digest: Digest, beginning: Beginning): Promise<boolean> {
    const { registry } = caller;
    try {
      const torrent = await this.#torrent(digest, registry, beginning.size);
      if (torrent.scope === VERIFIED || this.#running.has(keyOf(digest, registry))) {
        torrent.release();
        beginning.body?.cancel();
        return false;
      }
      if (beginning.isTakeOver)
        void torrent.resumed.then(() => this.#parts.events.tookOver(digest, torrent.pieces.table.held.count));
      this.#start(caller, torrent, beginning);
      return true;
    } catch (error) {
      beginning.body?.cancel();
      throw error;
    }
  }

  /** Stops all reads; what they got is kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the origin stops'));
    await Promise.allSettled(this.#runs);
  }

  async #torrent(digest: Digest, scope: string, size: number): Promise<Torrent> {
    const { engine } = this.#parts;
    const torrent = await engine.torrent({ digest, scope, size });
    const reason = reasonToReplace(torrent, size);
    if (!reason) return torrent;
    torrent.release();
    torrent.fail(reason);
    return engine.torrent({ digest, scope, size });
  }

  #start(caller: Caller, torrent: Torrent, { body, isTakeOver }: Beginning): void {
    const { upstream, events, signer, bandwidth, now, random } = this.#parts;
    const { digest, size } = torrent;
    const record = { digest, registry: caller.registry, size, bytes: 0 };
    const callers = new WaitingCallers(caller);
    const onBytes = (bytes: number): void => {
      record.bytes += bytes;
      events.bytesRead(record.registry, bytes);
    };
    const onResume = (offset: number, error: Error): void => events.resumed(digest, offset, error);
    const reader = new UpstreamReader(
      { upstream, now, random, onBytes, onResume },
      callers,
      { digest, size },
      this.#options,
    );
    const reading = new Reading({ torrent, callers, reader, signer, bandwidth, now });
    torrent.pieces.onWhole = () => this.#whole(reading, caller);
    this.#running.set(keyOf(digest, caller.registry), reading);
    const startedAt = now();
    const run = this.#run(reading, callers, () => reading.run(body, isTakeOver, this.#stop.signal)).then(
      ({ outcome, error }) => {
        this.#runs.delete(run);
        events.read({ ...record, outcome, error, seconds: (now() - startedAt) / 1000 });
      },
    );
    this.#runs.add(run);
  }

  async #run(
    reading: Reading,
    callers: WaitingCallers,
    work: () => Promise<void>,
  ): Promise<{ outcome: ReadOutcome; error?: Error }> {
    const { torrent } = reading;
    const { registry } = callers.current;
    const key = keyOf(torrent.digest, registry);
    this.#interrupted.set(key, true);
    try {
      await work();
      await this.#settle(reading, callers, registry);
      if (this.#parts.store.has(torrent.digest)) this.#interrupted.delete(key);
      return { outcome: 'complete' };
    } catch (error) {
      if (error instanceof DigestMismatchError)
        await discardContradiction(torrent, error).catch(() => undefined);
      return { outcome: this.#outcomeOf(error), error: asError(error) };
    } finally {
      torrent.pieces.onWhole = undefined;
      torrent.release();
      this.#running.delete(key);
    }
  }

  /** Right before the blob is stored: what is known of it goes along. */
  #whole(reading: Reading, { registry }: Caller): void {
    const { signer, events } = this.#parts;
    const { torrent } = reading;
    try {
      if (isDeliveredWhole(torrent)) torrent.note(factsOf(reading, registry));
      signer.signWhole(torrent);
    } catch (error) {
      events.failed('a blob could not be signed as a whole', error);
    }
  }

  /** The facts of who joined late; where peers gave a part, the registry has to prove that it has the same bytes. */
  async #settle(reading: Reading, callers: WaitingCallers, registry: string): Promise<void> {
    const { store, provenance, events } = this.#parts;
    const { torrent } = reading;
    try {
      if (!isDeliveredWhole(torrent)) await this.#prove(callers.current, torrent, provenance);
      store.addFacts(torrent.digest, factsOf(reading, registry));
    } catch (error) {
      // The blob is verified; who asks for it next proves it again.
      events.failed('a registry did not prove what the swarm had of its blob', error);
    }
  }

  async #prove(caller: Caller, { digest }: Torrent, provenance: Provenance): Promise<void> {
    await using held: (HeldContent & AsyncDisposable) | undefined = await openHeld(
      this.#parts.store,
      digest,
      this.#stop.signal,
    );
    if (held) await provenance.prove(caller, held, this.#stop.signal);
  }

  #outcomeOf(error: unknown): ReadOutcome {
    if (this.#stop.signal.aborted) return 'stopped';
    if (error instanceof NobodyWaitsError) return 'left';
    if (error instanceof UpstreamRefusedError) return 'refused';
    if (error instanceof DigestMismatchError) return 'wrong';
    return isUpstreamsFault(error) ? 'unreachable' : 'failed';
  }
}

function keyOf(digest: Digest, registry: string): string {
  return `${digest} ${registry}`;
}

/** Why an open torrent is of no use to a read; undefined where it is. */
function reasonToReplace(torrent: Torrent, size: number): Error | undefined {
  // Whoever told the other size was wrong, or is now: a torrent can only have one.
  if (torrent.size !== size)
    return new UpstreamProtocolError(
      `${torrent.scope}: ${torrent.digest} had ${torrent.size} bytes and now has ${size}`,
    );
  // All of it passed through, and some is with nobody who is connected now: agents that still read lack it as well. They
  // are cut for a moment, and call again by the same swarm id.
  return torrent.complete && torrent.hasGaps
    ? new Error('some of the blob is with nobody who is connected any more')
    : undefined;
}

/** No byte came from a peer: the registry delivered all of it. */
function isDeliveredWhole({ sources }: Torrent): boolean {
  return sources.peer + sources.origin === 0;
}

function factsOf(
  { repositories }: Reading,
  registry: string,
): { registries: string[]; repositories: string[] } {
  return {
    registries: [registry],
    repositories: [...repositories].map((repository) => `${registry}/${repository}`),
  };
}

import type { OpenBlob } from '#registry/blob-read.ts';
import type { Digest } from '#registry/digest.ts';
import type { Upstream } from '#registry/upstream.ts';
import { UpstreamRefusedError } from '#registry/upstream-error.ts';
import { MAX_BLOB_SIZE, pieceLength } from '#swarm/core/piece-length.ts';
import type { Bandwidth } from '#swarm/session/bandwidth.ts';
import type { Engine } from '#swarm/session/engine.ts';
import { VERIFIED } from '#swarm/hashes/batch.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import type { Answer } from './answer.ts';
import { type Caller, isSameCredential } from './caller.ts';
import { MAX_READS, OPENED_AHEAD_PATIENCE_MS, OTHERS_AHEAD_PATIENCE_MS, SMALL_BYTES } from './defaults.ts';
import { OriginBusyError, WrongContentError } from './errors.ts';
import type { OriginEvents } from './events.ts';
import { MergedWork } from './merged-work.ts';
import type { OpenedAhead } from './opened-ahead.ts';
import { openHeld, type Provenance } from './provenance.ts';
import type { Readings } from './readings.ts';
import type { SmallContent } from './small-content.ts';
import type { StoredHashes } from './stored-hashes.ts';
import type { SwarmCopies } from './swarm-copies.ts';
import { openBlob, UpstreamReader } from './upstream-reader.ts';
import { WaitingCallers } from './waiting-callers.ts';

export interface BlobsParts {
  readonly upstream: Pick<Upstream, 'readBlob'>;
  readonly store: BlobStore;
  /** Of all that is read from upstream. */
  readonly bandwidth: Pick<Bandwidth, 'passed' | 'unlimited'>;
  readonly engine: Pick<Engine, 'poisoned'>;
  readonly readings: Readings;
  readonly provenance: Provenance;
  readonly small: SmallContent;
  readonly copies: SwarmCopies;
  readonly openedAhead: OpenedAhead;
  readonly hashes: StoredHashes;
  readonly events: OriginEvents;
  /** Which other origin reads the blob for that registry now, if any. */
  readonly readerElsewhere: (digest: Digest, registry: string) => Promise<string | undefined>;
  readonly now: () => number;
  readonly random: () => number;
  /** Ends with the origin. */
  readonly life: AbortSignal;
}

/** A question for a blob. */
interface Wish {
  readonly caller: Caller;
  readonly digest: Digest;
}

/** Attempts to join what others have begun, before this caller is told to come again. */
const ROUNDS = 4;

/**
 * From a question for a blob to what can be said of it. What is held is told only where the caller's registry
 * delivered it, under the caller's repository; else that registry is asked, in the caller's name.
 */
export class Blobs {
  readonly #parts: BlobsParts;
  readonly #opening = new MergedWork<Answer>((error) => error instanceof UpstreamRefusedError);
  readonly #proving = new MergedWork<void>((error) => error instanceof UpstreamRefusedError);

  constructor(parts: BlobsParts) {
    this.#parts = parts;
  }

  /** Whether an answer needs nobody else. */
  isKnown(caller: Caller, digest: Digest): boolean {
    const { provenance, readings } = this.#parts;
    if (provenance.isDelivered(caller, digest) && provenance.isMember(caller, digest)) return true;
    return readings.find(digest, caller.registry)?.repositories.has(caller.repository) === true;
  }

  /**
   * @param isTakeOver the digest's owner is lost, and the swarm may hold what it has read
   * @throws UpstreamRefusedError, UpstreamUnreachableError, UpstreamProtocolError, WrongContentError,
   * OriginBusyError, the signal's reason
   */
  async get({ caller, digest }: Wish, isTakeOver: boolean, signal: AbortSignal): Promise<Answer> {
    for (let round = 0; round < ROUNDS; round++) {
      const known =
        (await this.#stored(caller, digest, signal)) ?? (await this.#running(caller, digest, signal));
      if (known) return known;
      const { result, own } = await this.#opening.run(
        openingKey({ caller, digest }),
        JSON.stringify([caller.repository, caller.authorization]),
        signal,
        () => this.#open({ caller, digest }, isTakeOver),
      );
      if (own || result.kind === 'elsewhere') return result;
    }
    throw new OriginBusyError(`${digest} came and went`);
  }

  /**
   * Before anybody asks: upstream is asked for the first piece, where the blob would be read from there. Nobody waits for that.
   * @param size as the manifest tells it
   */
  prepare(caller: Caller, digest: Digest, size: number): void {
    const { store, readings, copies, engine, bandwidth, openedAhead } = this.#parts;
    const { registry } = caller;
    const isAtHand =
      this.#opening.has(openingKey({ caller, digest })) ||
      store.has(digest) ||
      readings.find(digest, registry) !== undefined ||
      readings.expectsPieces(digest, registry) ||
      copies.coming(caller, digest) !== undefined;
    // What is given up again would not keep to a limit.
    if (isAtHand || engine.poisoned(digest, registry) || !bandwidth.unlimited) return;
    openedAhead.open({ caller, digest }, (end) => this.#openFirstPiece({ caller, digest }, size, end));
  }

  async #openFirstPiece(
    { caller, digest }: Wish,
    size: number,
    end: AbortSignal,
  ): Promise<OpenBlob | undefined> {
    const { upstream, life } = this.#parts;
    const isSmall = size <= SMALL_BYTES;
    if (!isSmall && (await this.#isElsewhere(caller, digest))) return undefined;
    const range = { end: pieceLength(size) - 1 };
    const opened = await openBlob(upstream, caller, digest, AbortSignal.any([life, end]), range);
    if (!isSmall || opened.size <= SMALL_BYTES) return opened;
    // Whether another has it was not asked.
    opened.body.cancel();
    return undefined;
  }

  /** Another origin reads it, or the swarm has it. */
  async #isElsewhere({ registry }: Caller, digest: Digest): Promise<boolean> {
    const { copies, readings, readerElsewhere } = this.#parts;
    const [member, isInSwarm] = await Promise.all([readerElsewhere(digest, registry), copies.exist(digest)]);
    return member !== undefined || isInSwarm || readings.find(digest, registry) !== undefined;
  }

  async #stored(caller: Caller, digest: Digest, signal: AbortSignal): Promise<Answer | undefined> {
    const { store, provenance, small, events } = this.#parts;
    const held = store.stat(digest);
    if (held === undefined) return undefined;
    const isOurs = this.#isDeliveredMember(caller, digest);
    if (held.size <= SMALL_BYTES) {
      const content = isOurs ? await small.stored(digest, signal) : undefined;
      if (content === undefined) return undefined;
      events.answered('bytes');
      return { kind: 'bytes', ...content, positive: false };
    }
    const own = !isOurs && (await this.#prove(caller, digest, signal));
    if (!this.#isDeliveredMember(caller, digest)) return undefined;
    const { size } = store.stat(digest) ?? held;
    events.answered('stored');
    void this.#parts.hashes.ensure(digest, size);
    provenance.learn(caller, digest);
    return { kind: 'swarm', digest, size, scope: VERIFIED, positive: own };
  }

  /** What one registry has delivered is no other's, and not in every repository of the same. True if done in this caller's name. */
  async #prove(caller: Caller, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { provenance, store, life } = this.#parts;
    const key = `${digest} ${caller.registry} ${caller.repository}`;
    const { own } = await this.#proving.run(key, caller.authorization ?? '', signal, async () => {
      if (provenance.isDelivered(caller, digest)) {
        await provenance.askMember(caller, digest, life);
        return;
      }
      await using held = await openHeld(store, digest, life);
      if (held) await provenance.prove(caller, held, life);
    });
    return own;
  }

  /** A read that runs for the same registry. */
  async #running(caller: Caller, digest: Digest, signal: AbortSignal): Promise<Answer | undefined> {
    const { readings, copies, provenance, events } = this.#parts;
    const { registry, repository } = caller;
    const coming = copies.coming(caller, digest);
    if (coming !== undefined) {
      events.answered('swarm');
      return { kind: 'swarm', digest, size: coming, scope: VERIFIED, positive: false };
    }
    const reading = readings.find(digest, registry);
    if (!reading) return undefined;
    let own = false;
    if (!reading.repositories.has(repository)) {
      const key = `${digest} ${registry} ${repository}`;
      const ask = async (): Promise<void> =>
        void (await provenance.askMember(caller, digest, this.#parts.life));
      own = (await this.#proving.run(key, caller.authorization ?? '', signal, ask)).own;
    }
    reading.join(own ? { ...caller, positive: true } : caller);
    events.answered('running');
    const { size, hasGaps } = reading.torrent;
    return { kind: 'swarm', digest, size, scope: registry, hasGaps, positive: own };
  }

  async #open(wish: Wish, isTakeOver: boolean): Promise<Answer> {
    const { caller, digest } = wish;
    const { engine, store, readings, copies, readerElsewhere, events } = this.#parts;
    const { registry } = caller;
    if (engine.poisoned(digest, registry))
      throw new WrongContentError(`${registry} delivered wrong bytes for ${digest} a moment ago`);
    if (readings.size >= MAX_READS) throw new OriginBusyError(`${MAX_READS} blobs are being read`);
    const mayHaveSome = isTakeOver || readings.expectsPieces(digest, registry);
    const opened = mayHaveSome ? undefined : await this.#takeOpened(caller, digest);
    if (opened) return this.#readOn(wish, opened);
    const [member, copied] = await Promise.all([
      readerElsewhere(digest, registry),
      store.has(digest) ? undefined : copies.find(caller, digest),
    ]);
    if (copied !== undefined) {
      events.answered('swarm');
      return { kind: 'swarm', digest, size: copied, scope: VERIFIED, positive: true };
    }
    if (member !== undefined) return { kind: 'elsewhere', member };
    const answer = mayHaveSome ? await this.#continue(wish, isTakeOver) : undefined;
    return answer ?? this.#read(wish);
  }

  /** What upstream was asked for ahead; who has another credential than it was asked with needs upstream's own yes. */
  async #takeOpened(caller: Caller, digest: Digest): Promise<OpenBlob | undefined> {
    const { openedAhead } = this.#parts;
    const found = openedAhead.find(caller, digest);
    if (found === undefined) return undefined;
    const isOwn = isSameCredential(found.caller, caller);
    const [answer, mayRead] = await Promise.all([
      openedAhead.wait(found, isOwn ? OPENED_AHEAD_PATIENCE_MS : OTHERS_AHEAD_PATIENCE_MS),
      isOwn || this.#mayRead(caller, digest),
    ]);
    if (answer === undefined || !mayRead || !openedAhead.take(found)) return undefined;
    answer.body.takeAllSent();
    return answer;
  }

  /** Upstream's yes, if it comes soon; without it the caller's own request decides. */
  async #mayRead(caller: Caller, digest: Digest): Promise<boolean> {
    const { provenance, life } = this.#parts;
    const soon = AbortSignal.any([life, AbortSignal.timeout(OTHERS_AHEAD_PATIENCE_MS)]);
    try {
      await provenance.askMember(caller, digest, soon);
      return true;
    } catch {
      return false;
    }
  }

  /** Some of it may be here or in the swarm: only its size is asked for. */
  async #continue(wish: Wish, isTakeOver: boolean): Promise<Answer | undefined> {
    const { provenance, life } = this.#parts;
    const { caller, digest } = wish;
    const size = await provenance.askMember(caller, digest, life);
    if (size === undefined || size <= SMALL_BYTES) return undefined;
    return this.#begin(wish, { size, isTakeOver });
  }

  async #read(wish: Wish): Promise<Answer> {
    const { upstream, life } = this.#parts;
    const { caller, digest } = wish;
    return this.#readOn(wish, await openBlob(upstream, caller, digest, life));
  }

  async #readOn(wish: Wish, opened: OpenBlob): Promise<Answer> {
    const { size, body } = opened;
    if (size <= SMALL_BYTES) return this.#small(wish.caller, wish.digest, opened);
    return this.#begin(wish, { size, body, isTakeOver: false });
  }

  async #begin({ caller, digest }: Wish, beginning: Parameters<Readings['begin']>[2]): Promise<Answer> {
    const { size } = beginning;
    if (size > MAX_BLOB_SIZE) {
      beginning.body?.cancel();
      throw new WrongContentError(`${digest} has ${size} bytes: at most ${MAX_BLOB_SIZE} are read`);
    }
    const begun = await this.#parts.readings.begin(caller, digest, beginning);
    this.#parts.openedAhead.drop(digest, caller.registry);
    this.#parts.events.answered('opened');
    // Where another registry's read was whole first, the next round has to prove that this one has the same bytes.
    if (!begun) return (await this.#stored(caller, digest, this.#parts.life)) ?? this.#gone(digest);
    return { kind: 'swarm', digest, size, scope: caller.registry, positive: true };
  }

  async #small(caller: Caller, digest: Digest, { size, body, mediaType }: OpenBlob): Promise<Answer> {
    const { upstream, bandwidth, now, random, events, small, life } = this.#parts;
    const reader = new UpstreamReader(
      {
        upstream,
        now,
        random,
        onBytes: (bytes) => events.bytesRead(caller.registry, bytes),
        onResume: (offset, error) => events.resumed(digest, offset, error),
      },
      new WaitingCallers(caller),
      { digest, size },
      { upstreamWaitMs: SMALL_WAIT_MS, minimumRateBytesPerSecond: 0 },
    );
    const chunks: Buffer[] = [];
    for await (const chunk of reader.read(0, size, life, body)) {
      await bandwidth.passed(digest, chunk.length, life);
      chunks.push(chunk);
    }
    body.cancel();
    const content = await small.take(caller, digest, Buffer.concat(chunks), mediaType);
    events.answered('bytes');
    return { kind: 'bytes', ...content, positive: true };
  }

  #isDeliveredMember(caller: Caller, digest: Digest): boolean {
    const { provenance } = this.#parts;
    return provenance.isDelivered(caller, digest) && provenance.isMember(caller, digest);
  }

  #gone(digest: Digest): never {
    throw new OriginBusyError(`${digest} came and went`);
  }
}

/** For one registry a blob is opened once at a time. */
function openingKey({ caller, digest }: Wish): string {
  return `${digest} ${caller.registry}`;
}

/** How long the rest of a small blob may take to come: its caller waits. */
const SMALL_WAIT_MS = 5_000;

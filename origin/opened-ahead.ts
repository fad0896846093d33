import type { OpenBlob } from '#registry/blob-read.ts';
import type { Digest } from '#registry/digest.ts';
import { pieceLength } from '#swarm/core/piece-length.ts';
import type { Caller } from './caller.ts';
import { MAX_OPENED_AHEAD, OPENED_AHEAD_MS } from './defaults.ts';
import type { OriginEvents } from './events.ts';

/** A request for the first piece of a blob that nobody has asked for yet. */
export interface OpenedBlob {
  /** In whose name it was made. */
  readonly caller: Caller;
  readonly digest: Digest;
  /** Undefined where upstream gives none that is of use. Never rejects. */
  readonly answer: Promise<OpenBlob | undefined>;
  readonly timer: NodeJS.Timeout;
  /** Ends the request, and the body of its answer. */
  readonly end: AbortController;
}

/**
 * What upstream is asked for before a runtime asks: whoever has read an image's manifest asks for its config and layers in a moment,
 * and what upstream takes to answer is over by then. One for each digest and registry; given up when nobody comes.
 */
export class OpenedAhead implements Disposable {
  readonly #entries = new Map<string, OpenedBlob>();
  readonly #events: Pick<OriginEvents, 'tookAhead' | 'gaveUpAhead'>;

  constructor(parts: { readonly events: Pick<OriginEvents, 'tookAhead' | 'gaveUpAhead'> }) {
    this.#events = parts.events;
  }

  /** Asks, unless that is done already or there is no room for more. */
  open(
    { caller, digest }: Pick<OpenedBlob, 'caller' | 'digest'>,
    ask: (signal: AbortSignal) => Promise<OpenBlob | undefined>,
  ): void {
    const key = keyOf(digest, caller.registry);
    if (this.#entries.has(key) || this.#entries.size >= MAX_OPENED_AHEAD) return;
    const end = new AbortController();
    const answer = ask(end.signal).catch(() => undefined);
    const timer = setTimeout(() => this.drop(digest, caller.registry), OPENED_AHEAD_MS).unref();
    const opened = { caller, digest, answer, timer, end };
    this.#entries.set(key, opened);
    void answer.then((given) => {
      if (given === undefined && this.#entries.get(key) === opened) this.#forget(key);
    });
  }

  /** The request that was made for the caller's own repository, in whoever's name. */
  find({ registry, repository }: Caller, digest: Digest): OpenedBlob | undefined {
    const entry = this.#entries.get(keyOf(digest, registry));
    return entry?.caller.repository === repository ? entry : undefined;
  }

  /** Its answer, waited for no longer than so. */
  async wait({ answer }: OpenedBlob, patienceMs: number): Promise<OpenBlob | undefined> {
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), patienceMs);
    try {
      return await Promise.race([answer, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** From now on its answer is the caller's to read or cancel; false where it has gone meanwhile. */
  take(opened: OpenedBlob): boolean {
    const key = keyOf(opened.digest, opened.caller.registry);
    if (this.#entries.get(key) !== opened) return false;
    this.#forget(key);
    this.#events.tookAhead();
    return true;
  }

  /** Gives it up: nobody came, or it is read by another request. */
  drop(digest: Digest, registry: string): void {
    const entry = this.#forget(keyOf(digest, registry));
    void entry?.answer.then((answer) => {
      if (answer) this.#events.gaveUpAhead(registry, Math.min(answer.size, pieceLength(answer.size)));
    });
    entry?.end.abort(new Error('nobody asked for what was opened ahead'));
  }

  [Symbol.dispose](): void {
    for (const { caller, digest } of this.#entries.values()) this.drop(digest, caller.registry);
  }

  #forget(key: string): OpenedBlob | undefined {
    const entry = this.#entries.get(key);
    clearTimeout(entry?.timer);
    this.#entries.delete(key);
    return entry;
  }
}

function keyOf(digest: Digest, registry: string): string {
  return `${digest} ${registry}`;
}

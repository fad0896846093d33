import type { OpenBlob } from '#registry/blob-read.ts';
import type { Digest } from '#registry/digest.ts';
import { type Caller, isSameCredential } from './caller.ts';
import { MAX_OPENED_AHEAD, OPENED_AHEAD_MS } from './defaults.ts';

interface Held {
  readonly caller: Caller;
  readonly opened: OpenBlob;
  readonly timer: NodeJS.Timeout;
}

/**
 * Upstream's answers to requests for large blobs that nobody has asked for yet: a runtime that has read the manifest does so
 * in a moment, and what upstream takes to answer is over by then. Of a body no more comes than its buffers take
 * (`BODY_BUFFER_BYTES` and the socket's), and it is given up when nobody comes for it.
 */
export class OpenedAhead implements Disposable {
  readonly #held = new Map<string, Held>();
  #opening = 0;

  /** Room for one that is about to be opened, until disposed of; undefined where there is none. */
  place(): Disposable | undefined {
    if (this.#held.size + this.#opening >= MAX_OPENED_AHEAD) return undefined;
    this.#opening += 1;
    return { [Symbol.dispose]: () => void (this.#opening -= 1) };
  }

  has(digest: Digest, registry: string): boolean {
    return this.#held.has(keyOf(digest, registry));
  }

  hold(caller: Caller, digest: Digest, opened: OpenBlob): void {
    const key = keyOf(digest, caller.registry);
    this.#drop(key);
    const timer = setTimeout(() => this.#drop(key), OPENED_AHEAD_MS).unref();
    this.#held.set(key, { caller, opened, timer });
  }

  /** What is held, for who has the credential that it was asked for with. */
  take(caller: Caller, digest: Digest): OpenBlob | undefined {
    const key = keyOf(digest, caller.registry);
    const held = this.#held.get(key);
    if (held === undefined || !isSameCredential(held.caller, caller)) return undefined;
    this.#forget(key, held);
    return held.opened;
  }

  [Symbol.dispose](): void {
    for (const key of this.#held.keys()) this.#drop(key);
  }

  #drop(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#forget(key, held);
    held.opened.body.cancel();
  }

  #forget(key: string, { timer }: Held): void {
    clearTimeout(timer);
    this.#held.delete(key);
  }
}

function keyOf(digest: Digest, registry: string): string {
  return `${digest} ${registry}`;
}

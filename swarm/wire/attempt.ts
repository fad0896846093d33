import { asError } from '#registry/as-error.ts';
import { HandshakeError } from './errors.ts';

export interface Destroyable {
  destroy(): void;
}

/** A connection whose handshakes are under way. It is cut when its time is over, its signal aborts, or the transport stops. */
export class Attempt implements Disposable {
  readonly #timer: NodeJS.Timeout;
  readonly #signal: AbortSignal | undefined;
  #target: Destroyable;
  #reason: Error | undefined;

  constructor(target: Destroyable, timeoutMs: number, signal?: AbortSignal) {
    this.#target = target;
    this.#signal = signal;
    this.#timer = setTimeout(
      () => this.cut(new HandshakeError(`no handshake within ${timeoutMs} ms`)),
      timeoutMs,
    );
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** Why it was cut, if it was: a better reason than the broken read that follows from it. */
  get reason(): Error | undefined {
    return this.#reason;
  }

  /** What is to be destroyed from now on. */
  replace(target: Destroyable): void {
    this.#target = target;
    if (this.#reason !== undefined) target.destroy();
  }

  cut(reason: Error): void {
    this.#reason ??= reason;
    this.#target.destroy();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#abort);
  }

  readonly #abort = (): void => this.cut(asError(this.#signal!.reason));
}

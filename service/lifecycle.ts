import type { Logger } from './logger.ts';

export interface LifecycleOptions {
  readonly logger?: Logger;
  /** How long a stop may take before the process ends anyway. Default {@link STOP_GRACE_MS}. */
  readonly graceMs?: number;
  /** Called at each SIGHUP. */
  readonly onHangup?: () => void;
}

/** How long a part may take to stop. */
export const STOP_GRACE_MS = 20_000;
/** npm hands a Ctrl-C on to a process that the terminal has told already: what comes so soon is the same signal. */
const SAME_SIGNAL_MS = 1_000;

/**
 * The life of a process that serves: `main` starts everything into `stack` and returns; SIGTERM or SIGINT aborts `signal` and
 * disposes the stack, last started first stopped. Another signal a second later or more, or a stop that outlasts the grace,
 * ends the process with 1.
 * Resolves when all is stopped.
 * @throws what `main` threw, after what it had started is stopped.
 */
export async function run(
  main: (signal: AbortSignal, stack: AsyncDisposableStack) => Promise<void>,
  options: LifecycleOptions = {},
): Promise<void> {
  using signals = new StopSignals(options);
  const stack = new AsyncDisposableStack();
  try {
    await main(signals.signal, stack);
    await signals.stopped;
  } catch (error) {
    if (!signals.signal.aborted) throw error; // a start cut short by a signal is a stop like any other
  } finally {
    signals.beginGrace();
    await stack.disposeAsync();
  }
}

/** Listens to the process' signals for as long as it is not disposed. */
class StopSignals implements Disposable {
  readonly #controller = new AbortController();
  readonly #options: LifecycleOptions;
  readonly stopped: Promise<void>;
  #grace: NodeJS.Timeout | undefined;
  #stoppedAt = 0;

  constructor(options: LifecycleOptions) {
    this.#options = options;
    this.stopped = new Promise((resolve) => {
      this.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    process.on('SIGTERM', this.#onStop).on('SIGINT', this.#onStop).on('SIGHUP', this.#onHangup);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  beginGrace(): void {
    this.#grace ??= setTimeout(() => {
      this.#options.logger?.error('stopping took too long: ended');
      process.exit(1);
    }, this.#options.graceMs ?? STOP_GRACE_MS).unref();
  }

  readonly #onStop = (name: NodeJS.Signals): void => {
    if (this.signal.aborted) {
      if (performance.now() - this.#stoppedAt > SAME_SIGNAL_MS) process.exit(1);
      return;
    }
    this.#stoppedAt = performance.now();
    this.#options.logger?.info({ signal: name }, 'stopping');
    this.#controller.abort(new Error(`stopped by ${name}`));
  };

  readonly #onHangup = (): void => {
    if (this.#options.onHangup) this.#options.onHangup();
    else this.#options.logger?.info('SIGHUP: nothing to read again');
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#grace);
    process.off('SIGTERM', this.#onStop).off('SIGINT', this.#onStop).off('SIGHUP', this.#onHangup);
  }
}

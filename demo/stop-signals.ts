/** npm passes on the signal that the terminal sends to both: what follows at once is the same wish. */
const SAME_WISH_MS = 1000;
/** Exit codes as shells have them: 128 and the signal's number. */
const CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** The first signal aborts; another one, later, ends the process at once. */
export class StopSignals implements Disposable {
  readonly #controller = new AbortController();
  #since = 0;
  #code = 0;

  constructor() {
    for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(name, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** For the process' exit, once a signal came. */
  get exitCode(): number {
    return this.#code;
  }

  [Symbol.dispose](): void {
    for (const name of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.off(name, this.#onSignal);
  }

  readonly #onSignal = (name: keyof typeof CODES): void => {
    if (!this.signal.aborted) {
      this.#since = performance.now();
      this.#code = CODES[name];
      this.#controller.abort(new Error(`stopped by ${name}`));
    } else if (performance.now() - this.#since > SAME_WISH_MS) {
      process.exit(this.#code);
    }
  };
}

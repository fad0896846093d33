import type { Dispatcher } from 'undici';
import { describeKeyMismatch } from '#swarm/announce/key-mismatch.ts';
import { KEY_CHECK_LIFETIME_MS, KEY_CHECK_TIMEOUT_MS } from './defaults.ts';

export interface ClusterKeyCheckParts {
  /** Connections that prove cluster membership. */
  readonly dispatcher: Dispatcher;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Ends with the agent. */
  readonly signal: AbortSignal;
}

export interface ClusterKeyCheckOptions {
  /** `host:port` of each. */
  readonly places: () => { readonly trackers: readonly string[]; readonly origins: readonly string[] };
  readonly scheme: 'http' | 'https';
}

/**
 * Whether others take this agent for a member: one with another key or authority finds nobody and pulls all by itself.
 * Who cannot be reached says nothing of that.
 */
export class ClusterKeyCheck {
  readonly #parts: ClusterKeyCheckParts;
  readonly #options: ClusterKeyCheckOptions;
  #faults: readonly string[] = [];
  #checkedAt = -Infinity;
  #running: Promise<void> | undefined;

  constructor(parts: ClusterKeyCheckParts, options: ClusterKeyCheckOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** What the last check found; an old one is begun anew, and not waited for. */
  get faults(): readonly string[] {
    if (this.#parts.now() - this.#checkedAt > KEY_CHECK_LIFETIME_MS) void this.check();
    return this.#faults;
  }

  /** Asks all trackers and origins. Never rejects. */
  check(): Promise<void> {
    this.#running ??= this.#check().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #check(): Promise<void> {
    const { trackers, origins } = this.#options.places();
    const faults = await Promise.all([this.#faultOf('tracker', trackers), this.#faultOf('origin', origins)]);
    this.#faults = faults.flat();
    this.#checkedAt = this.#parts.now();
  }

  /** None where one of them took the key, or cannot be reached and may well do so. */
  async #faultOf(kind: string, places: readonly string[]): Promise<string[]> {
    const outcomes = await Promise.all(places.map((place) => this.#ask(place)));
    const [mismatch] = outcomes;
    if (mismatch === undefined || outcomes.includes('taken') || outcomes.includes(undefined)) return [];
    return [`no ${kind} takes this agent for a member: ${mismatch}`];
  }

  /** Any answer will do: who is no member gets none. Undefined: it cannot be reached. */
  async #ask(place: string): Promise<string | undefined> {
    const { dispatcher, signal } = this.#parts;
    try {
      const { body } = await dispatcher.request({
        origin: `${this.#options.scheme}://${place}`,
        path: '/',
        method: 'HEAD',
        signal: AbortSignal.any([signal, AbortSignal.timeout(KEY_CHECK_TIMEOUT_MS)]),
      });
      await body.dump();
      return 'taken';
    } catch (error) {
      return describeKeyMismatch(error);
    }
  }
}

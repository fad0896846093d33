import { spawnShoal, type ShoalProcess } from '../support/spawn-shoal.ts';
import { parseMetrics, type Sample } from './metrics.ts';

const STOP_GRACE_MS = 3000;
/** Nine of them start at once, on two cores that may have other work. */
const READY_TIMEOUT_MS = 100_000;

/** The YAML file of a part, as far as the harness reads it itself. */
export interface PartConfig {
  readonly [knob: string]: unknown;
  readonly listen?: string;
  readonly peer?: { readonly listen: string };
}

/** One Shoal process that can be killed and started again with the configuration and the data it had. */
export class Part implements AsyncDisposable {
  readonly name: string;
  readonly config: PartConfig;
  readonly statusUrl: string;
  readonly #role: string;
  #process: ShoalProcess | undefined;
  #past = '';

  constructor(role: string, name: string, config: PartConfig, status: string) {
    this.#role = role;
    this.name = name;
    this.config = config;
    this.statusUrl = `http://${status}`;
  }

  async start(): Promise<void> {
    this.#process ??= await spawnShoal([this.#role], {
      config: this.config,
      readyUrl: `${this.statusUrl}/readyz`,
      readyTimeoutMs: READY_TIMEOUT_MS,
      graceMs: STOP_GRACE_MS,
    });
  }

  /** SIGKILL: no chance to tidy up. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#forget();
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    await this.#forget();
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Where its peer wire listens; the tracker has none. */
  get peerAddress(): string | undefined {
    return this.config.peer?.listen;
  }

  /** `host:port` of the HTTP listener for members; an agent has none. */
  get httpAddress(): string {
    if (this.config.listen === undefined) throw new Error(`${this.name} has no HTTP listener`);
    return this.config.listen;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  logs(): string {
    return this.#past + (this.#process?.logs() ?? '');
  }

  async metrics(): Promise<Sample[]> {
    const response = await fetch(`${this.statusUrl}/metrics`);
    if (!response.ok) throw new Error(`${this.name}: /metrics answered ${response.status}`);
    return parseMetrics(await response.text());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #forget(): Promise<void> {
    const ended = this.#process;
    if (ended === undefined) return;
    this.#process = undefined;
    await ended.exited;
    this.#past += ended.logs();
    await ended[Symbol.asyncDispose]();
  }
}

export class Agent extends Part {
  /** `http://127.0.0.1:29500` */
  readonly door: string;
  /** `127.0.0.1:29500` */
  readonly doorAddress: string;

  constructor(name: string, config: PartConfig, status: string, doorAddress: string) {
    super('agent', name, config, status);
    this.doorAddress = doorAddress;
    this.door = `http://${doorAddress}`;
  }
}

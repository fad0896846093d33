import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ENVIRONMENT } from '../../deploy/image/environment.ts';
import { Hand } from './hand.ts';
import type { Host } from './network.ts';
import { NamespacedProcess } from './process.ts';
import type { Usage } from './usage.ts';

const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 50;
const LOOPBACK = '127.0.0.1';

export type PartKind = 'agent' | 'origin' | 'tracker';

export interface PartPlan {
  readonly kind: PartKind;
  readonly statusPort: number;
  /** On loopback, of an agent. */
  readonly doorPort?: number;
  /** As it stands in the part's YAML file. */
  readonly config: Readonly<Record<string, unknown>>;
}

export interface PartPlace {
  readonly host: Host;
  /** The path of the `shoal` command. */
  readonly shoal: string;
  /** Configuration and log files. */
  readonly directory: string;
  /** Where to write CPU profiles, should they be wanted. */
  readonly profiles: string | undefined;
  readonly nodeFlags: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A part of Shoal as it is deployed, a process of its own on a host of its own. */
export class Part implements AsyncDisposable {
  readonly kind: PartKind;
  readonly host: Host;
  readonly hand: Hand;
  readonly #begin: () => Promise<NamespacedProcess>;
  readonly #statusPort: number;
  readonly #doorPort: number | undefined;
  #process: NamespacedProcess;

  private constructor(
    plan: PartPlan,
    parts: { host: Host; hand: Hand; begin: () => Promise<NamespacedProcess>; started: NamespacedProcess },
  ) {
    this.kind = plan.kind;
    this.#statusPort = plan.statusPort;
    this.#doorPort = plan.doorPort;
    this.host = parts.host;
    this.hand = parts.hand;
    this.#begin = parts.begin;
    this.#process = parts.started;
  }

  /** Waits until it says that it is ready. */
  static async start(plan: PartPlan, place: PartPlace, signal: AbortSignal): Promise<Part> {
    await using stack = new AsyncDisposableStack();
    const { host, shoal, directory, profiles, nodeFlags, environment } = place;
    const { name, namespace } = host;
    const hand = stack.use(await Hand.start(host, join(directory, `${name}-hand.log`)));
    const file = join(directory, `${name}.yaml`);
    await writeFile(file, JSON.stringify(plan.config, undefined, 2), { mode: 0o600 }); // JSON is YAML 1.2
    const profiling =
      profiles === undefined
        ? []
        : [
            '--cpu-prof',
            '--cpu-prof-interval=500',
            `--cpu-prof-dir=${profiles}`,
            `--cpu-prof-name=${name}.cpuprofile`,
          ];
    const begin = (): Promise<NamespacedProcess> =>
      NamespacedProcess.start({
        name,
        namespace,
        program: process.execPath,
        args: [...nodeFlags, ...profiling, shoal, plan.kind, '--config', file],
        logFile: join(directory, `${name}.log`),
        environment: { ...ENVIRONMENT, ...environment },
      });
    const started = stack.use(await begin());
    const part = new Part(plan, { host, hand, begin, started });
    await part.#untilReady(signal);
    stack.move();
    return part;
  }

  get name(): string {
    return this.host.name;
  }

  /** The one that runs, or ran last. */
  get process(): NamespacedProcess {
    return this.#process;
  }

  usage(): Promise<Usage> {
    return this.process.usage();
  }

  /** What `/metrics` says. */
  async metrics(signal: AbortSignal): Promise<string> {
    const { text } = await this.#status('/metrics', signal);
    return text;
  }

  /** At once, with no chance to say goodbye. */
  kill(): Promise<void> {
    return this.process.kill();
  }

  /** On the same host with the same store; waits until it says that it is ready. */
  async restart(signal: AbortSignal): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    this.#process = await this.#begin();
    await this.#untilReady(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    await this.hand[Symbol.asyncDispose]();
  }

  async #untilReady(signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (this.process.running && performance.now() < deadline) {
      if (await this.#isReady(signal)) return;
      await sleep(READY_POLL_MS, undefined, { signal });
    }
    const how = this.process.running
      ? `was not ready after ${READY_TIMEOUT_MS / 1000} s`
      : await this.process.ended;
    throw new Error(`${this.name} ${how}:\n${await this.process.logTail()}`);
  }

  async #isReady(signal: AbortSignal): Promise<boolean> {
    try {
      const { status } = await this.#status('/readyz', signal);
      // The door opens a little later than the status listener; any answer will do.
      if (status !== 200 || this.#doorPort === undefined) return status === 200;
      await this.hand.text({ host: LOOPBACK, port: this.#doorPort, path: '/v2/' }, signal);
      return true;
    } catch {
      signal.throwIfAborted();
      return false; // not listening yet
    }
  }

  #status(path: string, signal: AbortSignal): Promise<{ status: number; text: string }> {
    return this.hand.text({ host: LOOPBACK, port: this.#statusPort, path }, signal);
  }
}

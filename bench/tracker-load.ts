import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterDispatcher } from '#service/http-client.ts';
import type { Security } from '#service/identity.ts';
import type { AnnounceAnswer, AnnounceRequest } from '#swarm/announce/messages.ts';

export interface Target {
  /** `host:port` of the tracker. */
  readonly tracker: string;
  readonly security: Security;
}

export interface Load extends Target {
  readonly agents: number;
  readonly swarmsEach: number;
  readonly intervalMs: number;
}

/** What a phase of announces took, seen by the agents. */
export interface Announced {
  readonly seconds: number;
  readonly announces: number;
  readonly peersHanded: number;
}

/** Swarms that all agents are in: base images. The others are drawn from as many as make each a few dozen strong. */
const COMMON_SHARE = 0.5;
const MEMBERS_OF_RARE = 50;
const WANT = 30;
const ZONES = 3;

/** Many agents that announce as `swarm/announce` does: a connection and a session each. */
export class Announcers implements AsyncDisposable {
  readonly #load: Load;
  readonly #agents: readonly SimulatedAgent[];
  /** Those that all are in. */
  readonly common: readonly string[];

  constructor(load: Load) {
    this.#load = load;
    const common = Math.round(load.swarmsEach * COMMON_SHARE);
    const rare = Math.ceil((load.agents * (load.swarmsEach - common)) / MEMBERS_OF_RARE);
    const swarms = Array.from({ length: common + rare }, () => newId());
    this.common = swarms.slice(0, common);
    this.#agents = Array.from({ length: load.agents }, (_, number) => {
      const own = Array.from({ length: load.swarmsEach - common }, () => swarms[common + below(rare)]!);
      return new SimulatedAgent(load, number, [...this.common, ...new Set(own)]);
    });
  }

  /** All tell all that they have, within one interval: a tracker that was started anew. */
  start(signal: AbortSignal): Promise<Announced> {
    return this.#measure(async (agent, note) => {
      await sleep(Math.random() * this.#load.intervalMs, undefined, { signal });
      note(await agent.start(signal));
    });
  }

  /** Each announces once in an interval, and each time leaves one swarm and joins another, of which it wants peers. */
  run(intervals: number, signal: AbortSignal): Promise<Announced> {
    const { intervalMs } = this.#load;
    return this.#measure(async (agent, note) => {
      await sleep(Math.random() * intervalMs, undefined, { signal });
      for (let done = 0; done < intervals; done += 1) {
        const started = performance.now();
        note(await agent.change(signal));
        if (done + 1 < intervals)
          await sleep(Math.max(0, intervalMs - (performance.now() - started)), undefined, { signal });
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent[Symbol.asyncDispose]()));
  }

  async #measure(
    work: (agent: SimulatedAgent, note: (one: Answered) => void) => Promise<void>,
  ): Promise<Announced> {
    const started = performance.now();
    let announces = 0;
    let peersHanded = 0;
    const note = ({ peers }: Answered): void => {
      announces += 1;
      peersHanded += peers;
    };
    await Promise.all(this.#agents.map((agent) => work(agent, note)));
    const seconds = (performance.now() - started) / 1000;
    return { seconds, announces, peersHanded };
  }
}

/** How long an announce took, from the request to the whole answer, and how many peers came. */
interface Answered {
  readonly ms: number;
  readonly peers: number;
}

export class SimulatedAgent implements AsyncDisposable {
  readonly #target: Target;
  readonly #number: number;
  readonly #peerId = newId();
  readonly #session = newId(16);
  readonly #dispatcher: ReturnType<typeof clusterDispatcher>;
  readonly #swarms: string[];
  #sequence = 0;

  constructor(target: Target, number: number, swarms: string[]) {
    this.#target = target;
    this.#number = number;
    this.#swarms = swarms;
    this.#dispatcher = clusterDispatcher(target.security, { connections: 1 });
  }

  start(signal: AbortSignal): Promise<Answered> {
    const zone = `zone-${this.#number % ZONES}`;
    return this.#announce(
      {
        self: {
          role: 'agent',
          host: `10.${this.#number >> 16}.${(this.#number >> 8) & 255}.${this.#number & 255}`,
          port: 29_502,
          topology: { node: `node-${this.#number}`, zone, region: 'region' },
        },
        join: this.#swarms.map((swarm) => ({ swarm, complete: true, want: 0, digest: digestOf(swarm) })),
      },
      signal,
    );
  }

  change(signal: AbortSignal): Promise<Answered> {
    const swarm = this.#swarms.splice(below(this.#swarms.length), 1)[0]!;
    this.#swarms.push(swarm);
    const join = [{ swarm, complete: false, want: WANT, digest: digestOf(swarm) }];
    return this.#announce({ leave: [swarm], join }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy();
  }

  async #announce(told: Partial<AnnounceRequest>, signal: AbortSignal): Promise<Answered> {
    const body: AnnounceRequest = {
      peerId: this.#peerId,
      session: this.#session,
      sequence: this.#sequence++,
      ...told,
    };
    const started = performance.now();
    const { statusCode, body: answer } = await this.#dispatcher.request({
      origin: `https://${this.#target.tracker}`,
      path: '/v1/announce',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    });
    const text = await answer.text();
    const ms = performance.now() - started;
    if (statusCode !== 200) throw new Error(`the tracker answered ${statusCode}: ${text}`);
    const { swarms = [], refused, resync }: AnnounceAnswer = JSON.parse(text);
    if (refused !== undefined || resync === true) throw new Error(`the tracker refused: ${text}`);
    return { ms, peers: swarms.reduce((sum, { peers }) => sum + peers.length, 0) };
  }
}

function newId(bytes = 20): string {
  return randomBytes(bytes).toString('hex');
}

function digestOf(swarm: string): string {
  return `sha256:${swarm.padEnd(64, '0')}`;
}

function below(count: number): number {
  return Math.floor(Math.random() * count);
}

import { copyFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeDirectory } from '#service/make-directory.ts';
import { Account } from './account.ts';
import type { AttemptReport } from './attempt.ts';
import { Ballast } from './ballast.ts';
import { Content, type Blob } from './content.ts';
import { DOOR_PORT, REPOSITORY, RUNTIME_CONCURRENCY, UPSTREAM_PORT } from './defaults.ts';
import { mountDisk } from './disk.ts';
import { layGround, type Ground } from './ground.ts';
import { Network, type Host, type LinkRate, type NetworkOptions } from './network.ts';
import { Part } from './part.ts';
import { Plans } from './plans.ts';
import { layPrograms } from './programs.ts';
import type { Fetch, PullOrder, PullReport } from './pull.ts';
import { Upstream, type UpstreamServer } from './upstream.ts';
import { machineBusySeconds } from './usage.ts';

export interface RigOptions extends NetworkOptions {
  readonly agents: number;
  /** One unless told. */
  readonly origins?: number;
  /** Counted from 0; of the agent with this number, counted from 0. Tracker and upstream are in zone 0. */
  readonly zoneOf?: (agent: number) => number;
  /** Likewise; zone 0 unless told. */
  readonly zoneOfOrigin?: (origin: number) => number;
  /** Puts what is to be pulled there. */
  readonly fill: (content: Content) => Promise<void>;
  /** About what that will be. */
  readonly contentBytes: number;
  /** Longest time for one pull. */
  readonly pullTimeoutMs: number;
  readonly profiles: string | undefined;
  readonly nodeFlags: readonly string[];
  /** nginx unless told. */
  readonly startUpstream?: (host: Host, content: Content, directory: string) => Promise<UpstreamServer>;
  /** Each store on a file system of its own, of this size; else all share one. */
  readonly diskBytes?: number;
  readonly quotaBytes?: number;
  /** Environment of the part on this host, beside its own. @param directory of this run */
  readonly environmentOf?: (host: string, directory: string) => Readonly<Record<string, string>>;
}

/** What is fetched, stage after stage, by paths below a registry's root. */
export interface Order {
  readonly stages: readonly (readonly Fetch[])[];
  readonly concurrency?: number;
}

export interface Measured<T> {
  readonly result: T;
  readonly account: Account;
  /** Of the interfaces of the origins' hosts: frames, so headers, acknowledgements and announces count too. */
  readonly originInterfaceBytes: number;
  /** The same of all agents that were there from the start to the end, together: what came in beyond the content is waste. */
  readonly agentsReceivedBytes: number;
  readonly upstreamBytes: number;
  readonly trunkBytes: number;
  /** Cores that were busy with what is not of this rig: the noise. Kernel threads count as such. */
  readonly otherBusyCores: number;
  /** Whether stores were in memory rather than on this machine's disk. */
  readonly inMemory: boolean;
}

const SETTLE_MS = 300;
/** Memory kept for the agents' stores ÷ what is pulled. */
const BALLAST = 1.25;
/** Content, the origin's and the warmer's copies, beside those of the agents. */
const OTHER_COPIES = 3;

/** Hosts, links, an upstream registry and the parts of a cluster. Disposing it leaves nothing behind. */
export class Rig implements AsyncDisposable {
  readonly content: Content;
  readonly upstream: UpstreamServer;
  readonly tracker: Part;
  readonly origins: readonly Part[];
  readonly agents: Part[] = [];
  readonly #base: Base;
  readonly #plans: Plans;

  private constructor(base: Base, parts: RigParts) {
    this.#base = base;
    this.content = base.content;
    this.upstream = parts.upstream;
    this.tracker = parts.tracker;
    this.origins = parts.origins;
    this.#plans = parts.plans;
  }

  static async build(options: RigOptions, signal: AbortSignal): Promise<Rig> {
    await using stack = new AsyncDisposableStack();
    const base = stack.use(await Base.create(options, signal));
    const { network, content } = base;
    const { directory } = base.ground;
    await options.fill(content);
    const [upstreamHost, trackerHost] = [await network.addHost('upstream'), await network.addHost('tracker')];
    const originHosts: Host[] = [];
    for (let number = 0; number < (options.origins ?? 1); number++)
      originHosts.push(await network.addHost(`origin-${number + 1}`, options.zoneOfOrigin?.(number)));
    const startUpstream: RigOptions['startUpstream'] & {} =
      options.startUpstream ?? ((...place) => Upstream.start(...place));
    const upstream = base.keep(await startUpstream(upstreamHost, content, join(directory, 'upstream')));
    const { registry } = upstream;
    const addresses = { tracker: trackerHost.address, origins: originHosts.map(({ address }) => address) };
    const { quotaBytes } = options;
    const plans = await Plans.create({ directory, registry, quotaBytes, ...addresses });
    const tracker = await base.start(plans.tracker(), trackerHost);
    const origins: Part[] = [];
    for (const host of originHosts) {
      await base.mountDisk(plans.storeOf(host.name));
      origins.push(await base.start(plans.origin(host.name, host.address), host));
    }
    const rig = new Rig(base, { upstream, tracker, origins, plans });
    // All are waited for even if one fails, so that none still starts while the rest is taken down.
    const started = await Promise.allSettled(Array.from({ length: options.agents }, () => rig.addAgent()));
    for (const agent of started) if (agent.status === 'rejected') throw agent.reason;
    stack.move();
    return rig;
  }

  get signal(): AbortSignal {
    return this.#base.signal;
  }

  /** One more, on a new host with a link that is not shaped. */
  async addAgent(): Promise<Part> {
    const number = this.#base.nextAgent++;
    const zone = this.#base.options.zoneOf?.(number) ?? 0;
    const host = await this.#base.network.addHost(`agent-${number + 1}`, zone);
    await this.#base.mountDisk(this.#plans.storeOf(host.name));
    const agent = await this.#base.start(this.#plans.agent(host.name, `zone-${zone + 1}`), host);
    this.agents.push(agent);
    this.agents.sort((one, other) => one.name.localeCompare(other.name, 'en', { numeric: true }));
    return agent;
  }

  /** Kills it, and takes its node off the network. */
  async remove(agent: Part): Promise<void> {
    this.agents.splice(this.agents.indexOf(agent), 1);
    await agent.kill();
    await agent.host.unplug();
    await agent[Symbol.asyncDispose]();
  }

  /** Where a part keeps its blobs. */
  storeOf(part: Part): string {
    return this.#plans.storeOf(part.name);
  }

  /** Beside content, logs and stores. */
  get directory(): string {
    return this.#base.ground.directory;
  }

  /** Copies what all processes have printed so far. */
  async keepLogs(to: string): Promise<void> {
    await makeDirectory(to);
    const names = (await readdir(this.directory)).filter((name) => name.endsWith('.log'));
    for (const name of names) await copyFile(join(this.directory, name), join(to, name));
  }

  /** Nothing passes between the zones until it is joined again. */
  cutTrunk(cut: boolean): Promise<void> {
    return this.#base.network.cutTrunk(cut);
  }

  /** Makes the origin know all that the order names: one pull through it, by an agent that leaves again. */
  async warm(order: Order): Promise<void> {
    const host = await this.#base.network.addHost('warmer');
    {
      await using agent = await this.#base.start(this.#plans.agent('warmer', 'zone-1'), host, false);
      await this.pull(agent, order);
    }
    await rm(this.#plans.storeOf('warmer'), { recursive: true, force: true });
  }

  /** Every host's link, either way; undefined is not shaped. */
  async shape(rateOf: (host: Host) => LinkRate | undefined): Promise<void> {
    const hosts = [this.upstream.host, this.tracker.host];
    for (const host of [...hosts, ...[...this.origins, ...this.agents].map((part) => part.host)])
      await host.shape(rateOf(host));
  }

  /** Through the agent's door, as the runtime of its node. */
  pull(agent: Part, order: Order): Promise<PullReport> {
    const query = `?ns=${encodeURIComponent(this.upstream.registry)}`;
    const stages = order.stages.map((stage) => stage.map((item) => ({ ...item, path: item.path + query })));
    return this.#pull(agent, { ...order, stages, host: '127.0.0.1', port: DOOR_PORT });
  }

  /** A pull that may fail, of one blob. @param onProgress told now and then how many bytes have come */
  attempt(
    agent: Part,
    { digest }: Blob,
    onProgress: (bytes: number) => void = () => {},
  ): Promise<AttemptReport> {
    const order = {
      host: '127.0.0.1',
      port: DOOR_PORT,
      path: `/v2/${REPOSITORY}/blobs/${digest}?ns=${encodeURIComponent(this.upstream.registry)}`,
      digest,
      truth: this.content.fileOf(digest),
      timeoutMs: this.#base.options.pullTimeoutMs,
    };
    return agent.hand.attempt(order, this.signal, onProgress);
  }

  /** The same bytes to the same node, straight from the upstream registry. */
  pullDirectly(agent: Part, order: Order): Promise<PullReport> {
    return this.#pull(agent, { ...order, host: this.upstream.host.address, port: UPSTREAM_PORT });
  }

  /** Runs the work and says what it took. Parts that come or go meanwhile are to be told to the account by the work. */
  async measure<T>(work: (account: Account) => Promise<T>): Promise<Measured<T>> {
    const { options, ground } = this.#base;
    await using _ballast = await Ballast.take(
      ground,
      options.contentBytes * options.agents * BALLAST,
      this.signal,
    );
    const account = new Account();
    const parts = [this.tracker, ...this.origins, ...this.agents];
    await Promise.all(parts.map((part) => account.enter(part, this.signal)));
    const before = await this.#read();
    const started = performance.now();
    const result = await work(account);
    const seconds = (performance.now() - started) / 1000;
    const after = await this.#read();
    // The origin may still be closing its read of the upstream, which is logged at its end.
    await sleep(SETTLE_MS, undefined, { signal: this.signal });
    const upstreamBytes = (await this.upstream.bytesSent()) - before.upstreamBytes;
    await account.closeAll(this.signal);
    return {
      result,
      account,
      originInterfaceBytes: after.originInterfaceBytes - before.originInterfaceBytes,
      agentsReceivedBytes: sumOfGrowth(before.received, after.received),
      upstreamBytes,
      trunkBytes: after.trunkBytes - before.trunkBytes,
      inMemory: ground.inMemory,
      otherBusyCores: Math.max(0, after.otherBusy - before.otherBusy) / seconds,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#base[Symbol.asyncDispose]();
  }

  async #pull(agent: Part, order: Omit<PullOrder, 'concurrency'> & Order): Promise<PullReport> {
    const { pullTimeoutMs } = this.#base.options;
    const late = AbortSignal.timeout(pullTimeoutMs);
    try {
      const whole = { ...order, concurrency: order.concurrency ?? RUNTIME_CONCURRENCY };
      return await agent.hand.pull(whole, AbortSignal.any([this.signal, late]));
    } catch (error) {
      this.signal.throwIfAborted();
      const what = late.aborted ? `was not done after ${pullTimeoutMs / 1000} s` : String(error);
      throw new Error(`${agent.name}: ${what}\n${await agent.process.logTail()}`, { cause: error });
    }
  }

  async #read(): Promise<{
    originInterfaceBytes: number;
    received: ReadonlyMap<Part, number>;
    upstreamBytes: number;
    trunkBytes: number;
    otherBusy: number;
  }> {
    const received = this.agents.map(async (agent): Promise<[Part, number]> => [
      agent,
      (await agent.host.counters()).received,
    ]);
    const [counters, upstreamBytes, trunkBytes, otherBusy] = await Promise.all([
      Promise.all(this.origins.map(({ host }) => host.counters())),
      this.upstream.bytesSent(),
      this.#base.options.zones === 2 ? this.#base.network.trunkCounters() : undefined,
      this.#otherBusySeconds(),
    ]);
    return {
      originInterfaceBytes: counters.reduce((sum, { sent }) => sum + sent, 0),
      received: new Map(await Promise.all(received)),
      upstreamBytes,
      trunkBytes: trunkBytes?.sent ?? 0,
      otherBusy,
    };
  }

  async #otherBusySeconds(): Promise<number> {
    const parts = [this.tracker, ...this.origins, ...this.agents];
    const processes = [
      ...parts.flatMap(({ process: own, hand }) => [own, hand.process]),
      this.upstream.process,
    ];
    const used = await Promise.all(processes.map(async (own) => (await own.usage()).cpuSeconds));
    const { user, system } = process.cpuUsage();
    return (await machineBusySeconds()) - used.reduce((sum, one) => sum + one, (user + system) / 1e6);
  }
}

interface RigParts {
  readonly upstream: UpstreamServer;
  readonly tracker: Part;
  readonly origins: readonly Part[];
  readonly plans: Plans;
}

function sumOfGrowth<K>(before: ReadonlyMap<K, number>, after: ReadonlyMap<K, number>): number {
  return [...after].reduce((sum, [key, bytes]) => sum + bytes - (before.get(key) ?? bytes), 0);
}

/** What the rig stands on: the network, a directory, and the list of what is to be stopped. */
class Base implements AsyncDisposable {
  readonly options: RigOptions;
  readonly signal: AbortSignal;
  readonly network: Network;
  readonly ground: Ground;
  readonly content: Content;
  readonly #shoal: string;
  /** Processes to be stopped. */
  readonly #kept: AsyncDisposable[] = [];
  readonly #disks = new AsyncDisposableStack();
  readonly #below: AsyncDisposable;
  nextAgent = 0;

  private constructor(
    options: RigOptions,
    signal: AbortSignal,
    parts: { network: Network; ground: Ground; content: Content; shoal: string; below: AsyncDisposable },
  ) {
    this.options = options;
    this.signal = signal;
    this.network = parts.network;
    this.ground = parts.ground;
    this.content = parts.content;
    this.#shoal = parts.shoal;
    this.#below = parts.below;
  }

  static async create(options: RigOptions, signal: AbortSignal): Promise<Base> {
    await using stack = new AsyncDisposableStack();
    const ground = stack.use(await layGround(options.contentBytes * (options.agents + OTHER_COPIES)));
    if (options.profiles !== undefined) await makeDirectory(options.profiles);
    const content = await Content.create(join(ground.directory, 'content'));
    const shoal = await layPrograms(join(ground.directory, 'programs'));
    const network = stack.use(await Network.create(options));
    return new Base(options, signal, { network, ground, content, shoal, below: stack.move() });
  }

  /** @param kept whether it is stopped with the rig; else the caller does */
  async start(plan: Parameters<typeof Part.start>[0], host: Host, kept = true): Promise<Part> {
    const { ground, signal, options } = this;
    const place = {
      host,
      directory: ground.directory,
      profiles: options.profiles,
      shoal: this.#shoal,
      nodeFlags: options.nodeFlags,
      environment: options.environmentOf?.(host.name, ground.directory) ?? {},
    };
    const part = await Part.start(plan, place, signal);
    return kept ? this.keep(part) : part;
  }

  /** Where each store is to have a file system of its own. */
  async mountDisk(path: string): Promise<void> {
    const { diskBytes } = this.options;
    if (diskBytes !== undefined) this.#disks.use(await mountDisk(path, diskBytes));
  }

  /** It is stopped with the rig. */
  keep<T extends AsyncDisposable>(started: T): T {
    this.#kept.push(started);
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // At once: each takes a while to say goodbye to the others.
      await Promise.all(this.#kept.map((started) => started[Symbol.asyncDispose]()));
    } finally {
      await this.#disks[Symbol.asyncDispose]();
      await this.#below[Symbol.asyncDispose]();
    }
  }
}

import { setTimeout as sleep } from 'node:timers/promises';

import { parseReference } from '#registry/reference.ts';
import { describeError } from '#registry/redact.ts';

import type { ClusterNode } from '#kubernetes/nodes.ts';

import type { AgentClient } from './agent-client.ts';
import { AGENT_ABSENCE_MS, ASK_INTERVAL_MS, TICK_MS } from './constants.ts';
import { ImageDigests } from './image-digests.ts';
import type { ImagePreheat } from './image-preheat.ts';
import { NodeProgress } from './node-progress.ts';
import type { PullSecrets } from './pull-secrets.ts';
import { stateOf } from './status.ts';
import type { Progress, State } from './status.ts';

export interface PreheatRunParts {
  readonly agents: Pick<AgentClient, 'warm'>;
  readonly secrets: PullSecrets;
  /** The cluster's nodes, by name. */
  readonly nodes: () => ReadonlyMap<string, ClusterNode>;
  /** `host:port` of the agent of each node that has one, by the node's name. */
  readonly agentOf: (node: string) => string | undefined;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  /** Milliseconds since 1970: deadlines outlive the process. */
  readonly wallClock: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Tells how far it is; false where that could not be told, so that it is told again. */
  readonly report: (progress: Progress, state: State) => Promise<boolean>;
}

/**
 * One preheat from where it is to its end. What nodes hold is asked of themselves, so nothing is lost with the process
 * that ran it before.
 */
export class PreheatRun {
  readonly #parts: PreheatRunParts;
  readonly #preheat: ImagePreheat;
  readonly #nodes = new Map<string, NodeProgress>();
  readonly #digests: ImageDigests;
  readonly #asking = new Set<Promise<void>>();
  /** Milliseconds since 1970. */
  readonly #deadline: number;
  /** When each selected node was last seen with an agent, or first without. */
  #agentSeen: ReadonlyMap<string, number> = new Map();
  #withoutAgent = 0;

  /** @param startedAt milliseconds since 1970 */
  constructor(parts: PreheatRunParts, preheat: ImagePreheat, startedAt: number) {
    this.#parts = parts;
    this.#preheat = preheat;
    this.#deadline = startedAt + preheat.spec.deadlineSeconds * 1000;
    this.#digests = new ImageDigests(preheat.status?.images ?? []);
  }

  /** Ends with the state that the preheat came to. @throws the signal's reason */
  async run(signal: AbortSignal): Promise<State> {
    const ending = new AbortController();
    const either = AbortSignal.any([signal, ending.signal]);
    try {
      for (;;) {
        signal.throwIfAborted();
        this.#select();
        await this.#parts.secrets.refresh(signal);
        this.#askDue(either);
        const state = stateOf(this.#progress, this.#parts.wallClock() >= this.#deadline);
        const isTold = await this.#parts.report(this.#progress, state);
        if (isTold && state !== 'Warming') return state;
        await sleep(TICK_MS, undefined, { signal, ref: false });
      }
    } finally {
      ending.abort(new Error('the preheat is over'));
      await Promise.all(this.#asking);
    }
  }

  get #progress(): Progress {
    return {
      nodes: this.#nodes,
      withoutAgent: this.#withoutAgent,
      digests: this.#digests.agreed,
      faults: this.#parts.secrets.faults,
    };
  }

  /** Nodes come and go while it runs. */
  #select(): void {
    const { images, nodeSelector = {}, platforms } = this.#preheat.spec;
    const wanted = Object.entries(nodeSelector);
    const selected = this.#parts
      .nodes()
      .values()
      .filter(({ labels, platform }) => {
        if (platforms !== undefined && !platforms.includes(platform)) return false;
        return wanted.every(([label, value]) => labels[label] === value);
      });
    const names = new Set(this.#served(selected.map(({ name }) => name)));
    for (const name of this.#nodes.keys()) if (!names.has(name)) this.#nodes.delete(name);
    for (const name of names) if (!this.#nodes.has(name)) this.#nodes.set(name, new NodeProgress(images));
  }

  /** Those that have an agent, or may soon: where agents do not run, as on virtual nodes, nothing is to be waited for. */
  #served(names: Iterable<string>): string[] {
    const now = this.#parts.now();
    const seen = new Map<string, number>();
    this.#withoutAgent = 0;
    for (const name of names) {
      const hasAgent = this.#parts.agentOf(name) !== undefined;
      if (!hasAgent) this.#withoutAgent += 1;
      seen.set(name, hasAgent ? now : (this.#agentSeen.get(name) ?? now));
    }
    this.#agentSeen = seen;
    return [...seen].flatMap(([name, at]) => (now - at < AGENT_ABSENCE_MS ? [name] : []));
  }

  #askDue(signal: AbortSignal): void {
    const now = this.#parts.now();
    for (const [name, node] of this.#nodes) {
      if (this.#asking.size >= this.#preheat.spec.concurrency) return;
      if (!node.isDue(now) || this.#parts.agentOf(name) === undefined) continue;
      const asked: Promise<void> = this.#fetchOn(name, node, signal).finally(() =>
        this.#asking.delete(asked),
      );
      this.#asking.add(asked);
    }
  }

  /** Asks the node until it holds everything or an image fails; then others may have its place. Never rejects. */
  async #fetchOn(name: string, node: NodeProgress, signal: AbortSignal): Promise<void> {
    const { now, random } = this.#parts;
    node.busy = true;
    try {
      while (!signal.aborted && this.#nodes.get(name) === node) {
        const isRunning = await this.#askFor(name, node, signal);
        if (node.isWarm) return;
        if (!isRunning) break;
        await sleep(ASK_INTERVAL_MS * (0.5 + random()), undefined, { signal, ref: false });
      }
    } catch (error) {
      if (!signal.aborted) node.lost(describeError(error));
    } finally {
      node.busy = false;
      if (!node.isWarm) node.pause(now(), random);
    }
  }

  /** @returns whether there is an image that the node still works at. */
  async #askFor(name: string, node: NodeProgress, signal: AbortSignal): Promise<boolean> {
    let isRunning = false;
    for (const image of node.missing) {
      const agent = this.#parts.agentOf(name);
      if (agent === undefined) throw new Error('the node has no agent any more');
      const answer = await this.#parts.agents.warm(agent, this.#request(name, image), signal);
      if (answer.digest !== undefined) this.#found(name, image, answer.digest);
      const isRight = this.#digests.isRight(name, image);
      if (isRight) node.took(image, answer);
      isRunning ||= !isRight || answer.state === 'fetching' || answer.state === 'waiting';
    }
    return isRunning;
  }

  /** Who holds something else than was agreed on is asked again. */
  #found(name: string, image: string, digest: string): void {
    if (!this.#digests.took(name, image, digest, this.#nodes.size)) return;
    for (const [other, node] of this.#nodes) if (!this.#digests.isRight(other, image)) node.lacks(image);
  }

  #request(name: string, image: string): Parameters<AgentClient['warm']>[1] {
    const credential = this.#parts.secrets.lookup(parseReference(image).registry);
    return { image: this.#digests.nameFor(name, image), ...(credential && { credential }) };
  }
}

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { ADMIN_SOCKET, askAdmin } from '#service/admin-client.ts';
import type { AttemptReport } from '../../bench/rig/attempt.ts';
import type { Blob } from '../../bench/rig/content.ts';
import { DOOR_PORT } from '../../bench/rig/defaults.ts';
import { sumOf } from '../../bench/rig/exposition.ts';
import type { Part } from '../../bench/rig/part.ts';
import type { Fault } from './fault.ts';
import { BLOB_BYTES, type Stage } from './stage.ts';

/** What a fault did to the pulls at one moment. */
export interface Cell {
  readonly fault: string;
  readonly what: string;
  /** Percent of the bytes that the runtimes had between them when it struck. */
  readonly moment: number;
  readonly pulls: number;
  readonly succeeded: number;
  readonly wrongBytes: number;
  readonly silenceSeconds: number;
  /** From the first request until the last agent's runtime had all. */
  readonly seconds: number;
  /** Of the verified bytes of those that were killed, what they did not have to fetch again: from 0 to 1. */
  readonly kept: number | undefined;
  /** What is not as it should be, in words. */
  readonly complaints: readonly string[];
}

const POLL_MS = 10;
const LEAST_KEPT = 0.95;
const TIDY_MS = 5000;
const TIDY_POLL_MS = 100;
const RECOVERY_MS = 60_000;

/** What an agent that reaches a tracker says of itself. */
const Reaching = Compile(Type.Object({ trackers: Type.Object({ reachable: Type.Literal(true) }) }));

/** Nothing goes wrong: what the others are compared with. */
export const UNDISTURBED: Fault = {
  name: 'undisturbed',
  what: 'nothing goes wrong',
  strike: async () => async () => {},
};

/** All agents pull a blob that nobody has; the fault strikes when their runtimes have so many percent of all bytes. */
export async function runCell(
  stage: Stage,
  fault: Fault,
  at: { readonly moment: number; readonly mostSilence: number },
): Promise<Cell> {
  const { moment } = at;
  const blob = await stage.rig.content.addBlob(`${fault.name} ${moment} ${performance.now()}`, BLOB_BYTES);
  try {
    return await Promise.race([
      new Pulls(stage, fault, blob, at.mostSilence).run(moment),
      stage.upstream.died,
    ]);
  } finally {
    await stage.rig.content.removeBlob(blob);
    if (fault.taints === true)
      await Promise.all(stage.agents.map((agent) => agent.restart(stage.rig.signal)));
    await untilAllAnnounce(stage);
  }
}

/** Who could not reach the tracker tries again a while later: the next fault is not to strike a cluster that has not recovered. */
async function untilAllAnnounce(stage: Stage): Promise<void> {
  const { signal } = stage.rig;
  for (let left = RECOVERY_MS / TIDY_POLL_MS; left > 0; left -= 1) {
    const answers = await Promise.all(
      stage.agents.map((agent) =>
        askAdmin(join(stage.rig.storeOf(agent), ADMIN_SOCKET), { method: 'GET', path: '/v1/status' }, signal),
      ),
    );
    if (answers.every((answer) => Reaching.Check(answer))) return;
    await sleep(TIDY_POLL_MS, undefined, { signal });
  }
  throw new Error(`not all agents reach the tracker ${RECOVERY_MS / 1000} s after a fault`);
}

class Pulls {
  readonly #stage: Stage;
  readonly #fault: Fault;
  readonly #blob: Blob;
  readonly #killed: readonly Part[];
  readonly #mostSilence: number;
  readonly #complaints: string[] = [];
  #bytes = 0;

  constructor(stage: Stage, fault: Fault, blob: Blob, mostSilence: number) {
    this.#mostSilence = mostSilence;
    this.#stage = stage;
    this.#fault = fault;
    this.#blob = blob;
    this.#killed = fault.killed?.(stage) ?? [];
  }

  async run(moment: number): Promise<Cell> {
    const { agents } = this.#stage;
    const started = performance.now();
    const verifiedBefore = await this.#verified();
    const pulls = Promise.all(agents.map((agent) => this.#watch(agent)));
    await this.#until(moment, pulls);
    const verified = (await this.#verified()) - verifiedBefore;
    await using mending = new AsyncDisposableStack();
    mending.defer(await this.#fault.strike({ stage: this.#stage, blob: this.#blob }));
    const { lastsSeconds } = this.#fault;
    let again: Promise<AttemptReport[]> | undefined;
    if (lastsSeconds !== undefined) {
      await sleep(lastsSeconds * 1000, undefined, { signal: this.#stage.rig.signal });
      await mending.disposeAsync();
      again = Promise.all(this.#killed.map((agent) => this.#stage.rig.attempt(agent, this.#blob)));
    }
    const first = await pulls;
    const last = agents.map((agent, at) => ({ agent, report: first[at]! }));
    for (const [at, report] of ((await again) ?? []).entries()) {
      const entry = last.find(({ agent }) => agent === this.#killed[at])!;
      entry.report = report;
    }
    const seconds = (performance.now() - started) / 1000;
    if (lastsSeconds === undefined) await mending.disposeAsync();
    for (const { agent, report } of last) this.#judge(agent, report);
    const kept = this.#killed.length === 0 ? undefined : (await this.#fromCache()) / Math.max(verified, 1);
    if (kept !== undefined && kept < LEAST_KEPT)
      this.#complain(`${(kept * 100).toFixed(0)} % of verified bytes were kept`);
    await this.#pullOnceMore();
    if (this.#fault.leavesParts !== true) await this.#checkPartials();
    const reports = last.map(({ report }) => report);
    return {
      fault: this.#fault.name,
      what: this.#fault.what,
      moment,
      pulls: reports.length,
      succeeded: reports.filter(({ right }) => right).length,
      wrongBytes: reports.reduce((sum, { wrongBytes }) => sum + wrongBytes, 0),
      silenceSeconds: Math.max(...reports.map(({ silenceSeconds }) => silenceSeconds)),
      seconds,
      kept,
      complaints: this.#complaints,
    };
  }

  #watch(agent: Part): Promise<AttemptReport> {
    let had = 0;
    return this.#stage.rig.attempt(agent, this.#blob, (bytes) => {
      this.#bytes += bytes - had;
      had = bytes;
    });
  }

  async #until(percent: number, pulls: Promise<unknown>): Promise<void> {
    const ended = new AbortController();
    void pulls.then(() => ended.abort());
    const bytes = (this.#blob.size * this.#stage.agents.length * percent) / 100;
    while (this.#bytes < bytes && !ended.signal.aborted)
      await sleep(POLL_MS, undefined, { signal: this.#stage.rig.signal });
    if (ended.signal.aborted) this.#complain('the pulls ended before the fault struck');
  }

  #judge({ name }: Part, report: AttemptReport): void {
    const { poisons = false, drySeconds = 0 } = this.#fault;
    const { ended, right, wrongBytes, silenceSeconds, failure, bytes } = report;
    if (ended && !right) this.#complain(`${name} took a body of wrong bytes for whole`);
    if (poisons) return;
    if (!right) this.#complain(`${name} failed after ${bytes} bytes: ${failure}`);
    if (wrongBytes > 0) this.#complain(`${name} got ${wrongBytes} wrong bytes`);
    if (silenceSeconds > drySeconds + this.#mostSilence)
      this.#complain(`${name} waited ${silenceSeconds.toFixed(1)} s for a byte`);
  }

  /** Whatever went wrong is over: nothing that it left may stand in the way. */
  async #pullOnceMore(): Promise<void> {
    const { agents, rig } = this.#stage;
    const reports = await Promise.all(agents.map((agent) => rig.attempt(agent, this.#blob)));
    for (const [at, { right, wrongBytes, failure }] of reports.entries()) {
      const { name } = agents[at]!;
      if (!right) this.#complain(`once more: ${name} failed: ${failure ?? 'wrong digest'}`);
      if (wrongBytes > 0) this.#complain(`once more: ${name} got ${wrongBytes} wrong bytes`);
    }
  }

  /** A partial blob beside a whole one is a leak; an origin keeps what it has of a read for when it is asked again. */
  async #checkPartials(): Promise<void> {
    const deadline = performance.now() + TIDY_MS;
    let left = await this.#partials();
    while (left.length > 0 && performance.now() < deadline) {
      await sleep(TIDY_POLL_MS, undefined, { signal: this.#stage.rig.signal });
      left = await this.#partials();
    }
    if (left.length > 0) this.#complain(`parts are left at ${left.join(', ')}`);
  }

  async #partials(): Promise<string[]> {
    const { rig, agents } = this.#stage;
    const name = this.#blob.digest.replace(':', '-');
    const left: string[] = [];
    for (const part of agents) {
      const entries = await readdir(join(rig.storeOf(part), 'v1', 'partial'));
      if (entries.some((entry) => entry.startsWith(name))) left.push(part.name);
    }
    return left;
  }

  async #verified(): Promise<number> {
    const texts = await Promise.all(this.#killed.map((agent) => agent.metrics(this.#stage.rig.signal)));
    return texts.reduce((sum, text) => sum + sumOf(text, 'shoal_agent_pieces_verified_bytes_total'), 0);
  }

  /** What those that were killed had of the blob when they were asked again. */
  async #fromCache(): Promise<number> {
    const { signal } = this.#stage.rig;
    const path = `/shoal/v1/sources/${this.#blob.digest}`;
    const told = await Promise.all(
      this.#killed.map(({ hand }) => hand.text({ host: '127.0.0.1', port: DOOR_PORT, path }, signal)),
    );
    return told.reduce((sum, { text }) => sum + cacheBytesIn(text), 0);
  }

  #complain(text: string): void {
    this.#complaints.push(text);
  }
}

function cacheBytesIn(text: string): number {
  const told: unknown = JSON.parse(text);
  const cache = typeof told === 'object' && told !== null && 'cache' in told ? told.cache : undefined;
  if (typeof cache !== 'number') throw new Error(`"${text}" does not tell what came from the cache`);
  return cache;
}

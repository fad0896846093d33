import { afterEach, beforeEach, expect, test } from 'vitest';

import type { ClusterNode } from '#kubernetes/nodes.ts';
import type { ImagePreheat } from '#kubernetes/preheat/image-preheat.ts';
import { PullSecrets } from '#kubernetes/preheat/pull-secrets.ts';
import { PreheatRun } from '#kubernetes/preheat/run.ts';
import type { State } from '#kubernetes/preheat/status.ts';
import { statusOf } from '#kubernetes/preheat/status.ts';
import type { WarmAnswer } from '#service/warm-messages.ts';

const [NEW, OLD] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`);

/** A preheat of `app:1` on nodes whose agents answer as they are told to; each look at it is later than the last. */
class Bench {
  readonly nodes = new Map<string, ClusterNode>();
  readonly agents = new Map<string, (image: string) => WarmAnswer>();
  readonly asked: string[] = [];
  message = '';
  warm = 0;
  concurrency = 50;
  /** Milliseconds that go by from one look at the nodes to the next. */
  pace = 0;
  #now = 0;

  add(name: string, agent?: (image: string) => WarmAnswer): void {
    const platform = 'linux/amd64';
    this.nodes.set(name, { name, uid: name, labels: {}, addresses: [], platform, hasStartupTaint: false });
    if (agent !== undefined) this.agents.set(name, agent);
  }

  run(): Promise<State> {
    const preheat: ImagePreheat = {
      metadata: { namespace: 'shoal', name: 'p', uid: 'u', resourceVersion: '1' },
      spec: { images: ['r.example/app:1'], concurrency: this.concurrency, deadlineSeconds: 3600 },
    };
    const now = (): number => this.#now;
    const api = { ask: () => Promise.reject(new Error('nothing is asked for')) };
    const run = new PreheatRun(
      {
        agents: {
          warm: async (agent, { image }) => {
            this.asked.push(`${agent} ${image.replace('r.example/', '')}`);
            return this.agents.get(agent)!(image);
          },
        },
        secrets: new PullSecrets({ api, now }, { namespace: 'shoal', names: [] }),
        nodes: () => this.nodes,
        agentOf: (node) => (this.agents.has(node) ? node : undefined),
        now,
        wallClock: now,
        random: () => 0,
        report: async (progress, state) => {
          this.#now += this.pace;
          const status = statusOf(preheat, progress, state, { time: '', startTime: '' });
          this.message = status.conditions![0]!.message;
          this.warm = status.nodes!.warm;
          return true;
        },
      },
      preheat,
      0,
    );
    return run.run(ending.signal);
  }
}

let bench: Bench;
let ending: AbortController;
beforeEach(() => {
  bench = new Bench();
  ending = new AbortController();
});
afterEach(() => ending.abort(new Error('the test is over')));

/** Finds a tag to be this; holds whatever it is asked for. */
const finds =
  (digest = NEW!) =>
  (image: string): WarmAnswer => ({ state: 'warm', digest: image.split('@')[1] ?? digest });

test('nodes on which agents do not run are not waited for, and told of', async () => {
  bench.add('metal', finds());
  bench.add('virtual');
  bench.pace = 50_000;
  await expect(bench.run()).resolves.toBe('Complete');
  expect(bench.message).toBe('1 of 1 nodes are warm; 1 have no agent that could be asked');
});

test('a node whose agent is only just starting is waited for', async () => {
  bench.add('first', finds());
  bench.add('second');
  bench.pace = 50_000;
  const state = bench.run();
  await expect.poll(() => bench.warm).toBe(1);
  bench.agents.set('second', finds());
  await expect(state).resolves.toBe('Complete');
  expect(bench.message).toBe('2 of 2 nodes are warm');
});

test('one agent whose knowledge of a tag is out of date does not decide what all nodes hold', async () => {
  bench.concurrency = 1;
  bench.add('stale', finds(OLD));
  for (const name of ['b', 'c', 'd']) bench.add(name, finds(NEW));
  bench.pace = 3000;
  await expect(bench.run()).resolves.toBe('Complete');
  expect(bench.asked.filter((asked) => asked.includes(OLD!))).toEqual([]);
  expect(bench.asked).toContain(`stale app:1@${NEW}`);
  expect(bench.asked).toContain(`d app:1@${NEW}`);
});

test('an agent goes on with what it was asked for, and is not asked for the same by another name', async () => {
  let questions = 0;
  for (const name of ['a', 'b', 'c'])
    bench.add(name, () => ({ state: (questions += 1) > 6 ? 'warm' : 'fetching', digest: NEW! }));
  await expect(bench.run()).resolves.toBe('Complete');
  expect(new Set(bench.asked)).toEqual(new Set(['a app:1', 'b app:1', 'c app:1']));
});

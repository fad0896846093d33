import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';

import type { KubernetesApi } from '#kubernetes/api.ts';
import { LeaderElection } from '#kubernetes/leader-election.ts';

import { type Cluster, part, startCluster } from './cluster.ts';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** Who leads, and whether two ever did at one time. */
class Terms {
  readonly leading = new Set<string>();
  together = 0;

  begin(name: string): void {
    this.leading.add(name);
    this.together = Math.max(this.together, this.leading.size);
  }

  end(name: string): void {
    this.leading.delete(name);
  }
}

function candidate(
  name: string,
  lease: string,
  terms: Terms,
  api: Pick<KubernetesApi, 'ask'> = cluster.api,
): LeaderElection {
  const election = new LeaderElection(
    {
      api,
      now: () => performance.now(),
      wallClock: Date.now,
      random: Math.random,
      onChange: () => undefined,
      onFailure: () => undefined,
    },
    { namespace: 'default', name: lease, identity: name },
    async (signal) => {
      terms.begin(name);
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      terms.end(name);
    },
  );
  onTestFinished(() => election[Symbol.asyncDispose]());
  return election;
}

function leaseOf(name: string): Promise<unknown> {
  return cluster.ask('GET', `/apis/coordination.k8s.io/v1/namespaces/default/leases/${name}`);
}

async function renewed(): Promise<unknown> {
  return part(await leaseOf('restart'), 'spec', 'renewTime');
}

it('one of three leads; when it stops, another one does within seconds', async () => {
  const terms = new Terms();
  const all = new Map(['a', 'b', 'c'].map((name) => [name, candidate(name, 'stops', terms)]));
  await expect.poll(() => terms.leading.size).toBe(1);
  const [first = ''] = terms.leading;
  expect(part(await leaseOf('stops'), 'spec')).toMatchObject({
    holderIdentity: first,
    leaseDurationSeconds: 15,
  });
  await all.get(first)![Symbol.asyncDispose]();
  await expect.poll(() => terms.leading.size, { timeout: 6000 }).toBe(1);
  expect(terms.leading.has(first)).toBe(false);
  expect(part(await leaseOf('stops'), 'spec', 'leaseTransitions')).toBe(1);
  expect(terms.together).toBe(1);
});

it('one that is cut off stops leading before another begins', { timeout: 60_000 }, async () => {
  const terms = new Terms();
  let isCut = false;
  const cuttable: Pick<KubernetesApi, 'ask'> = {
    ask: (...asked) => (isCut ? Promise.reject(new Error('no way through')) : cluster.api.ask(...asked)),
  };
  candidate('cut', 'cut', terms, cuttable);
  await expect.poll(() => [...terms.leading]).toEqual(['cut']);
  candidate('other', 'cut', terms);
  isCut = true;
  await expect.poll(() => [...terms.leading], { timeout: 30_000 }).toEqual(['other']);
  expect(terms.together).toBe(1);
  isCut = false;
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect([...terms.leading]).toEqual(['other']);
});

it('a leader goes on leading through a restart of the API server', async () => {
  const terms = new Terms();
  candidate('steady', 'restart', terms);
  await expect.poll(() => terms.leading.size).toBe(1);
  await cluster.plane.killApiServer();
  await cluster.plane.startApiServer();
  const before = await renewed();
  await expect.poll(renewed).not.toBe(before);
  expect(terms).toMatchObject({ leading: new Set(['steady']), together: 1 });
});

it('who loses the race for a lease does not lead', async () => {
  const terms = new Terms();
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) candidate(name, 'race', terms);
  await expect.poll(() => terms.leading.size).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 5000));
  expect(terms).toMatchObject({ together: 1 });
});

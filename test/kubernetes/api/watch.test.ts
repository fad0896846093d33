import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { KubernetesApi } from '#kubernetes/api.ts';
import { ResourceWatch } from '#kubernetes/resource-watch.ts';

import { type Cluster, object, part, startCluster } from './cluster.ts';

const MAPS = '/api/v1/namespaces/default/configmaps';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const failures: string[] = [];
let running: AsyncDisposableStack;
beforeEach(() => {
  running = new AsyncDisposableStack();
  failures.length = 0;
});
afterEach(async () => {
  await running.disposeAsync();
  await cluster.ask('DELETE', MAPS);
});

/** By name, what the watch has of each map's only value. */
function watchMaps(api: Pick<KubernetesApi, 'ask' | 'watch'> = cluster.api): ResourceWatch<string> {
  return running.use(
    new ResourceWatch(
      {
        api,
        random: Math.random,
        now: () => performance.now(),
        onFailure: (error) => failures.push(String(error)),
      },
      {
        path: MAPS,
        labelSelector: 'watched=yes',
        keep: (map) => {
          const value = part(map, 'data', 'value');
          return typeof value === 'string' ? value : undefined;
        },
      },
    ),
  );
}

function known(watch: ResourceWatch<string>): Record<string, string> {
  return Object.fromEntries([...watch.objects].map(([key, value]) => [key.replace('default/', ''), value]));
}

async function put(name: string, value: string): Promise<void> {
  const metadata = { labels: { watched: 'yes' } };
  await cluster.ask('POST', MAPS, object('v1', 'ConfigMap', name, { metadata, data: { value } }));
}

function change(name: string, value: string): Promise<unknown> {
  return cluster.ask('PATCH', `${MAPS}/${name}`, { data: { value } });
}

describe('a watched collection', () => {
  it('has what was there, what comes, what changes, and not what has gone', async () => {
    await put('early', '1');
    const watch = watchMaps();
    await watch.synced;
    expect(known(watch)).toEqual({ early: '1' });
    await put('late', '1');
    await change('early', '2');
    await expect.poll(() => known(watch)).toEqual({ early: '2', late: '1' });
    await cluster.ask('DELETE', `${MAPS}/late`);
    await cluster.ask('PATCH', `${MAPS}/early`, { metadata: { labels: { watched: 'no' } } });
    await expect.poll(() => known(watch)).toEqual({});
  });

  it('is read in pages', async () => {
    const names = Array.from({ length: 23 }, (_, index) => `map-${index}`);
    await Promise.all(names.map((name) => put(name, name)));
    let pages = 0;
    const watch = watchMaps({
      ask: ({ query, ...asked }, signal) => {
        pages += 1;
        return cluster.api.ask({ ...asked, query: { ...query, limit: '10' } }, signal);
      },
      watch: (...asked) => cluster.api.watch(...asked),
    });
    await watch.synced;
    expect(pages).toBe(3);
    expect(watch.objects.size).toBe(names.length);
  });

  it('goes on where it stood when the server ends a watch, without reading anew', async () => {
    let reads = 0;
    let watches = 0;
    const watch = watchMaps({
      ask: (...asked) => {
        reads += 1;
        return cluster.api.ask(...asked);
      },
      watch: (path, query, signal) => {
        watches += 1;
        return cluster.api.watch(path, { ...query, timeoutSeconds: '1' }, signal);
      },
    });
    await expect.poll(() => watches).toBeGreaterThan(2);
    await put('late', '1');
    await expect.poll(() => known(watch)).toEqual({ late: '1' });
    expect(reads).toBe(1);
    expect(failures).toEqual([]);
  });

  it('outlives the API server: what was known stays, what changes after its return is seen', async () => {
    await put('map', '1');
    const watch = watchMaps();
    await watch.synced;
    await cluster.plane.killApiServer();
    await expect.poll(() => failures.length).toBe(1);
    expect(known(watch)).toEqual({ map: '1' });
    await cluster.plane.startApiServer();
    await change('map', '2');
    await expect.poll(() => known(watch), { timeout: 20_000 }).toEqual({ map: '2' });
  });

  it('is read anew when its place in history is gone: what went meanwhile is gone here too', async () => {
    await put('stays', '1');
    await put('goes', '1');
    const gate = Promise.withResolvers<void>();
    let reads = 0;
    const watch = watchMaps({
      ask: (...asked) => {
        reads += 1;
        return cluster.api.ask(...asked);
      },
      async *watch(...asked) {
        await gate.promise;
        yield* cluster.api.watch(...asked);
      },
    });
    await watch.synced;
    await cluster.ask('DELETE', `${MAPS}/goes`);
    await change('stays', '2');
    await cluster.plane.compactHistory();
    await cluster.plane.killApiServer();
    await cluster.plane.startApiServer();
    gate.resolve();
    await expect.poll(() => known(watch), { timeout: 20_000 }).toEqual({ stays: '2' });
    expect(reads).toBe(2);
    await put('late', '1');
    await expect.poll(() => known(watch)).toEqual({ stays: '2', late: '1' });
  });

  it('takes an ERROR in the stream for the end of it', async () => {
    await put('map', '1');
    let watches = 0;
    const watch = watchMaps({
      ask: (...asked) => cluster.api.ask(...asked),
      watch: (path, query, signal) => {
        watches += 1;
        // A place that is yet to come: the server answers 200 and then tells the error as an event, or at once.
        const resourceVersion = watches === 1 ? '1' : query['resourceVersion']!;
        return cluster.api.watch(path, { ...query, resourceVersion }, signal);
      },
    });
    await watch.synced;
    await put('late', '1');
    await expect.poll(() => known(watch), { timeout: 20_000 }).toEqual({ map: '1', late: '1' });
    expect(watches).toBeGreaterThan(1);
  });
});

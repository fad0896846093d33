import { expect, test } from 'vitest';
import type { Digest } from '#registry/digest.ts';
import { PARTIAL_AGE_MS } from '#swarm/store/constants.ts';
import { StoreFullError } from '#swarm/store/errors.ts';
import { content, KIB, MIB, readAll, StoreFixture, type Content } from './store-fixture.ts';

const HUNDRED = 100 * KIB;

async function fill(fixture: StoreFixture, names: string[]): Promise<Content[]> {
  const made: Content[] = [];
  for (const name of names) made.push(await fixture.put(name, HUNDRED));
  return made;
}

test('the least recently used blob goes first, and its going is told', async () => {
  await using fixture = await StoreFixture.open(3 * HUNDRED);
  const [a, b, c] = await fill(fixture, ['a', 'b', 'c']);
  await (await fixture.store.open(a!.digest))![Symbol.asyncDispose]();
  const d = await fixture.put('d', HUNDRED);
  expect(fixture.evicted).toEqual([b!.digest]);
  expect(fixture.store.digests()).toEqual([c!.digest, a!.digest, d.digest]);
  expect(fixture.store.usage()).toEqual({
    blobs: 3,
    bytes: 3 * HUNDRED,
    partialBytes: 0,
    quotaBytes: 3 * HUNDRED,
    evictions: 1,
    refusals: 0,
  });
});

test('the order of last use outlives a restart, to the minute', async () => {
  await using fixture = await StoreFixture.open(3 * HUNDRED);
  const [a, b] = await fill(fixture, ['a', 'b', 'c']);
  fixture.time += 61_000;
  await (await fixture.store.open(a!.digest))![Symbol.asyncDispose]();
  await fixture.store[Symbol.asyncDispose]();
  await fixture.reopen();
  await fixture.put('d', HUNDRED);
  expect(fixture.evicted).toEqual([b!.digest]);
});

test('what is being read is never evicted, and when all is, there is no room', async () => {
  await using fixture = await StoreFixture.open(2 * HUNDRED);
  const [a, b] = await fill(fixture, ['a', 'b']);
  const readA = await fixture.store.open(a!.digest);
  const readB = await fixture.store.open(b!.digest);
  await expect(fixture.put('c', HUNDRED)).rejects.toThrow(StoreFullError);
  await expect(
    fixture.store.partial({ digest: content('c', 1).digest, scope: 'r' }, HUNDRED),
  ).rejects.toThrow(StoreFullError);
  await readB![Symbol.asyncDispose]();
  await fixture.put('c', HUNDRED);
  expect(fixture.evicted).toEqual([b!.digest]);
  const bytes = Buffer.alloc(HUNDRED);
  await readA!.read(0, bytes);
  expect(bytes.equals(a!.bytes)).toBe(true);
  await readA![Symbol.asyncDispose]();
});

test('a partial blob in use has its full size reserved, and is not evicted', async () => {
  await using fixture = await StoreFixture.open(3 * HUNDRED);
  await fill(fixture, ['a', 'b', 'c']);
  const { bytes, digest } = content('big', 2 * HUNDRED);
  await using partial = await fixture.store.partial({ digest, scope: 'r' }, bytes.length);
  expect(fixture.evicted.length).toBe(2);
  await fixture.put('d', HUNDRED);
  expect(fixture.evicted.length).toBe(3);
  // All that may go would not be enough: then nothing goes.
  await expect(fixture.put('e', 2 * HUNDRED)).rejects.toThrow(StoreFullError);
  expect(fixture.evicted.length).toBe(3);
  await partial.write(0, bytes);
  await partial.commit({});
  expect(fixture.store.usage()).toMatchObject({ blobs: 2, bytes: 3 * HUNDRED, partialBytes: 0 });
  expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
});

test('copies that others hold go before the last copy', async () => {
  const asked: Digest[][] = [];
  const replicated = content('b', HUNDRED).digest;
  await using fixture = await StoreFixture.open(3 * HUNDRED, {
    replicas: async (digests) => {
      asked.push(digests);
      return new Set([replicated]);
    },
  });
  const [a] = await fill(fixture, ['a', 'b', 'c']);
  await fixture.put('d', HUNDRED);
  expect(fixture.evicted).toEqual([replicated]);
  expect(asked[0]).toHaveLength(3);
  await fixture.put('e', HUNDRED);
  expect(fixture.evicted).toEqual([replicated, a!.digest]);
});

test('the question for replicas is bounded, in number and in time', async () => {
  let asked = 0;
  let most = 0;
  await using fixture = await StoreFixture.open(100 * KIB, {
    replicas: (digests) => {
      asked += 1;
      most = Math.max(most, digests.length);
      return new Promise(() => {});
    },
  });
  for (let i = 0; i < 100; i += 1) await fixture.put(i, KIB);
  await fixture.put('more', 2 * KIB);
  await fixture.put('and more', 2 * KIB);
  expect(fixture.evicted).toEqual([0, 1, 2, 3].map((seed) => content(seed, KIB).digest));
  // Who did not answer is not waited for again at once.
  expect(asked).toBe(1);
  expect(most).toBe(64);
  fixture.time += 60_000;
  await fixture.put('later', KIB);
  expect(asked).toBe(2);
});

test('a blob that is opened while others are asked for copies stays', async () => {
  const opened: unknown[] = [];
  const first = content('a', HUNDRED).digest;
  await using fixture = await StoreFixture.open(3 * HUNDRED, {
    replicas: async () => {
      opened.push(await fixture.store.open(first));
      return new Set([first]);
    },
  });
  const [, b] = await fill(fixture, ['a', 'b', 'c']);
  await fixture.put('d', HUNDRED);
  expect(opened).toHaveLength(1);
  expect(fixture.evicted).toEqual([b!.digest]);
});

test('replicas that reject, and a listener that throws, do not stop an eviction', async () => {
  await using fixture = await StoreFixture.open(HUNDRED, {
    replicas: () => Promise.reject(new Error('no tracker')),
    onEvict: () => {
      throw new Error('listener');
    },
  });
  const a = await fixture.put('a', HUNDRED);
  const b = await fixture.put('b', HUNDRED);
  expect(fixture.store.has(a.digest)).toBe(false);
  expect(fixture.store.has(b.digest)).toBe(true);
  expect(fixture.warnings).toEqual(['the listener to evictions failed']);
});

async function keepPartial(fixture: StoreFixture, seed: string): Promise<{ digest: Digest; scope: string }> {
  const { bytes, digest } = content(seed, HUNDRED);
  const key = { digest, scope: 'r' };
  await using partial = await fixture.store.partial(key, HUNDRED);
  await partial.write(0, bytes);
  return key;
}

test('a half-done blob that nobody came back for goes first, one of late goes last', async () => {
  await using fixture = await StoreFixture.open(4 * HUNDRED);
  const old = await keepPartial(fixture, 'old');
  fixture.time += PARTIAL_AGE_MS;
  const late = await keepPartial(fixture, 'late');
  await fill(fixture, ['a', 'b']);
  await fixture.put('c', HUNDRED);
  expect(fixture.evicted).toEqual([]);
  expect(fixture.store.usage()).toMatchObject({ blobs: 3, partialBytes: HUNDRED, evictions: 1 });
  await fixture.put('d', 3 * HUNDRED);
  expect(fixture.evicted).toHaveLength(3);
  {
    await using resumed = await fixture.store.partial(late, HUNDRED);
    expect(resumed.resumed).toBe(true);
  }
  await fixture.put('e', 4 * HUNDRED);
  expect(fixture.store.usage()).toMatchObject({ blobs: 1, partialBytes: 0 });
  expect(old.digest).not.toBe(late.digest);
});

test('however many write at once, the quota holds', async () => {
  const quota = 10 * HUNDRED;
  await using fixture = await StoreFixture.open(quota);
  const { store } = fixture;
  const over: number[] = [];
  const check = (): void => {
    const { bytes, partialBytes } = store.usage();
    if (bytes > quota || bytes + partialBytes > quota + HUNDRED) over.push(bytes + partialBytes);
  };
  const watch = setInterval(check, 1);
  const results = await Promise.allSettled(
    Array.from({ length: 60 }, async (_, i) => {
      const { bytes, digest } = content(`many ${i}`, HUNDRED);
      if (i % 2 === 0) {
        await (
          await store.put(digest, bytes, {})
        ).written;
      } else {
        await using partial = await store.partial({ digest, scope: 'r' }, HUNDRED);
        await partial.write(0, bytes);
        check();
        await partial.commit({});
      }
      check();
    }),
  );
  clearInterval(watch);
  expect(over).toEqual([]);
  // With more writers than room, a late one may find everything in use.
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  expect(failures.filter((reason) => !(reason instanceof StoreFullError))).toEqual([]);
  expect(store.usage().bytes).toBe(store.usage().blobs * HUNDRED);
  expect(store.usage().partialBytes).toBe(0);
  for (const digest of store.digests()) expect(await readAll(store, digest)).toBeDefined();
});

test('a smaller quota holds from the next start on', async () => {
  await using fixture = await StoreFixture.open(4 * HUNDRED);
  const [, , c, d] = await fill(fixture, ['a', 'b', 'c', 'd']);
  await fixture.store[Symbol.asyncDispose]();
  const store = await fixture.reopen({}, 2 * HUNDRED);
  expect(store.digests()).toEqual([c!.digest, d!.digest]);
});

test('prune removes by age, down to a size, or everything, but nothing that is open', async () => {
  await using fixture = await StoreFixture.open(MIB);
  const [a, b, c, d, e] = await fill(fixture, ['a', 'b', 'c', 'd', 'e']);
  const { store } = fixture;
  expect(await store.prune({})).toEqual({ blobs: 0, bytes: 0, inUse: 0 });
  await using open = await store.open(a!.digest);
  // `a` was used now, `e` now, `d` a second ago…
  expect(await store.prune({ olderThanMs: 2500 })).toEqual({ blobs: 1, bytes: HUNDRED, inUse: 0 });
  expect(store.has(b!.digest)).toBe(false);
  expect(await store.prune({ toBytes: 3 * HUNDRED })).toEqual({ blobs: 1, bytes: HUNDRED, inUse: 0 });
  expect(store.has(c!.digest)).toBe(false);
  await keepPartial(fixture, 'half');
  expect(await store.prune({ all: true })).toEqual({ blobs: 2, bytes: 3 * HUNDRED, inUse: 1 });
  expect(await store.prune({ toBytes: 0 })).toEqual({ blobs: 0, bytes: 0, inUse: 1 });
  expect(store.digests()).toEqual([open!.digest]);
  expect(fixture.evicted).toEqual([b, c, d, e].map((blob) => blob!.digest));
  expect(store.usage().evictions).toBe(0);
});

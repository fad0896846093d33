import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { digestOf } from '#registry/digest.ts';
import { BlobStore } from '#swarm/store/blob-store.ts';
import { MAX_WRITES } from '#swarm/store/constants.ts';
import { writeAt } from '#swarm/store/data-file.ts';
import { StoreError, StoreFullError } from '#swarm/store/errors.ts';
import { content, KIB, MIB, readAll, StoreFixture } from './store-fixture.ts';

test('what was put is read back, at any position, also after a restart', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = content('put', 300 * KIB);
  await (
    await fixture.store.put(digest, bytes, { registries: ['r.io'], mediaType: 'application/json' })
  ).written;
  await fixture.store[Symbol.asyncDispose]();
  const store = await fixture.reopen();
  expect(store.has(digest)).toBe(true);
  expect(store.stat(digest)).toEqual({
    size: bytes.length,
    facts: { registries: ['r.io'], repositories: [], mediaType: 'application/json' },
  });
  await using blob = await store.open(digest);
  const part = Buffer.alloc(1000);
  await blob!.read(123_456, part);
  expect(part.equals(bytes.subarray(123_456, 124_456))).toBe(true);
  await expect(blob!.read(bytes.length - 1, Buffer.alloc(2))).rejects.toThrow(/not within a blob/u);
  await expect(blob!.read(-1, Buffer.alloc(2))).rejects.toThrow(StoreError);
  expect(await blob!.batches()).toEqual([]);
  expect(store.digests()).toEqual([digest]);
});

test('the empty blob and a sha512 digest are stored like any other', async () => {
  await using fixture = await StoreFixture.open();
  const empty = content('none', 0);
  const long = Buffer.from('long digest');
  const sha512 = digestOf(long, 'sha512');
  await (
    await fixture.store.put(empty.digest, empty.bytes, {})
  ).written;
  await (
    await fixture.store.put(sha512, long, {})
  ).written;
  expect((await readAll(fixture.store, empty.digest))?.length).toBe(0);
  expect(String(await readAll(fixture.store, sha512))).toBe('long digest');
});

test('bytes that do not match their digest are not stored', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = content('right', KIB);
  await expect(fixture.store.put(digest, content('wrong', KIB).bytes, {})).rejects.toThrow(/do not match/u);
  expect(fixture.store.has(digest)).toBe(false);
  expect(fixture.store.usage().bytes).toBe(0);
});

test('a blob is unknown until it is committed, then it is there with its hash batches and facts', async () => {
  await using fixture = await StoreFixture.open();
  const { store } = fixture;
  const { bytes, digest } = content('partial', MIB);
  await using partial = await store.partial({ digest, scope: 'r.io' }, MIB);
  expect(partial.resumed).toBe(false);
  await partial.write(512 * KIB, bytes.subarray(512 * KIB));
  await partial.appendBatch(Buffer.from('batch 1'));
  await partial.write(0, bytes.subarray(0, 512 * KIB));
  await partial.appendBatch(Buffer.from('batch 2'));
  const middle = Buffer.alloc(KIB);
  await partial.read(512 * KIB - 100, middle);
  expect(middle.equals(bytes.subarray(512 * KIB - 100, 512 * KIB + 924))).toBe(true);
  expect(store.has(digest)).toBe(false);
  expect(await store.open(digest)).toBeUndefined();
  await partial.commit({ registries: ['r.io'], repositories: ['r.io/app'] });
  expect(store.stat(digest)?.facts).toEqual({ registries: ['r.io'], repositories: ['r.io/app'] });
  await using blob = await store.open(digest);
  expect((await blob!.batches()).map(String)).toEqual(['batch 1', 'batch 2']);
  expect((await readAll(store, digest))?.equals(bytes)).toBe(true);
  // A peer that is being served goes on reading from the handle it had.
  await partial.read(0, middle);
  expect((await partial.batches()).length).toBe(2);
  await expect(partial.write(0, middle)).rejects.toThrow(StoreError);
  expect(store.usage()).toMatchObject({ blobs: 1, bytes: MIB, partialBytes: 0 });
});

test('a partial blob goes on with bytes and batches where it was left, also after a restart', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = content('resume', MIB);
  const key = { digest, scope: 'verified' };
  {
    await using partial = await fixture.store.partial(key, MIB);
    await partial.write(256 * KIB, bytes.subarray(256 * KIB, 512 * KIB));
    await partial.appendBatch(Buffer.from('signed'));
    expect(fixture.store.usage().partialBytes).toBe(MIB);
  }
  // Sparse: only what was written counts.
  expect(fixture.store.usage().partialBytes).toBe(256 * KIB);
  await fixture.store[Symbol.asyncDispose]();
  const store = await fixture.reopen();
  expect(store.usage().partialBytes).toBe(256 * KIB);
  await using partial = await store.partial(key, MIB);
  expect(partial.resumed).toBe(true);
  expect((await partial.batches()).map(String)).toEqual(['signed']);
  const piece = Buffer.alloc(256 * KIB);
  await partial.read(256 * KIB, piece);
  expect(piece.equals(bytes.subarray(256 * KIB, 512 * KIB))).toBe(true);
});

test('one holder at a time; another scope is another partial blob', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = content('held', MIB);
  const [first, second] = await Promise.allSettled([
    fixture.store.partial({ digest, scope: 'a.io' }, MIB),
    fixture.store.partial({ digest, scope: 'a.io' }, MIB),
  ]);
  expect(first.status).toBe('fulfilled');
  expect(second).toMatchObject({ status: 'rejected', reason: { message: /is held already/u } });
  await using other = await fixture.store.partial({ digest, scope: 'b.io' }, MIB);
  expect(other.resumed).toBe(false);
});

test('a kept partial blob of another size is discarded', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = content('size', MIB);
  const key = { digest, scope: 'r.io' };
  {
    await using partial = await fixture.store.partial(key, MIB);
    await partial.write(0, bytes);
    await partial.appendBatch(Buffer.from('signed'));
  }
  await using partial = await fixture.store.partial(key, 2 * MIB);
  expect(partial.resumed).toBe(false);
  expect(await partial.batches()).toEqual([]);
  expect(fixture.store.usage().partialBytes).toBe(2 * MIB);
});

test('discarded or never written, a partial blob leaves nothing', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = content('discard', MIB);
  const partial = await fixture.store.partial({ digest, scope: 'r.io' }, MIB);
  await partial.write(0, bytes);
  await partial.discard();
  await partial[Symbol.asyncDispose]();
  await expect(partial.read(0, Buffer.alloc(1))).rejects.toThrow(StoreError);
  await (await fixture.store.partial({ digest, scope: 'r.io' }, MIB))[Symbol.asyncDispose]();
  expect(fixture.store.usage().partialBytes).toBe(0);
  expect(await readdir(fixture.directory.join('v1', 'partial'))).toEqual([]);
  expect(await readdir(fixture.directory.join('v1', 'temporary'))).toEqual([]);
});

test('the same blob read by way of two registries is stored once and knows both', async () => {
  await using fixture = await StoreFixture.open();
  const { store } = fixture;
  const { bytes, digest } = content('twice', MIB);
  await using a = await store.partial({ digest, scope: 'a.io' }, MIB);
  await using b = await store.partial({ digest, scope: 'b.io' }, MIB);
  await Promise.all([a.write(0, bytes), b.write(0, bytes)]);
  const isOwn = await Promise.all([a.commit({ registries: ['a.io'] }), b.commit({ registries: ['b.io'] })]);
  expect(isOwn.filter(Boolean)).toHaveLength(1);
  expect(store.stat(digest)?.facts.registries.toSorted()).toEqual(['a.io', 'b.io']);
  expect(store.usage()).toMatchObject({ blobs: 1, bytes: MIB, partialBytes: 0 });
  for (const partial of [a, b]) {
    const read = Buffer.alloc(MIB);
    await partial.read(0, read);
    expect(read.equals(bytes)).toBe(true);
  }
  await (
    await store.put(digest, bytes, { registries: ['c.io'] })
  ).written;
  expect(store.stat(digest)?.facts.registries).toHaveLength(3);
  expect(await readdir(fixture.directory.join('v1', 'partial'))).toEqual([]);
});

test('facts that are learnt later outlive a restart', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('facts', KIB);
  fixture.store.addFacts(digest, { repositories: ['r.io/a'] });
  fixture.store.addFacts(digest, { repositories: ['r.io/b'], mediaType: 'text/plain' });
  fixture.store.addFacts(content('unknown', 1).digest, { repositories: ['r.io/a'] });
  await fixture.store[Symbol.asyncDispose]();
  const store = await fixture.reopen();
  const known = { registries: [], repositories: ['r.io/a', 'r.io/b'], mediaType: 'text/plain' };
  expect(store.stat(digest)?.facts).toEqual(known);
  store.addFacts(digest, { registries: ['r.io'] });
  await expect
    .poll(async () => readFile(fixture.file(digest, 'facts.json'), 'utf8'), { timeout: 5000 })
    .toContain('"registries":["r.io"]');
});

test('many readers of one blob share a descriptor, which is closed with the last', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = await fixture.put('shared', 64 * KIB);
  const opened = await Promise.all(Array.from({ length: 20 }, () => fixture.store.open(digest)));
  expect(await descriptorsOf(fixture.file(digest))).toBe(1);
  await Promise.all(opened.slice(1).map((blob) => blob![Symbol.asyncDispose]()));
  const read = Buffer.alloc(bytes.length);
  const reading = opened[0]!.read(0, read);
  // Closing waits for the read that is under way.
  await Promise.all([opened[0]![Symbol.asyncDispose](), reading]);
  expect(read.equals(bytes)).toBe(true);
  expect(await descriptorsOf(fixture.file(digest))).toBe(0);
  await expect(opened[0]!.read(0, read)).rejects.toThrow(StoreError);
  await expect(opened[1]!.batches()).rejects.toThrow(StoreError);
});

async function descriptorsOf(file: string): Promise<number> {
  const { dev, ino } = await stat(file);
  const open = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => stat(`/proc/self/fd/${fd}`).catch(() => undefined)),
  );
  return open.filter((entry) => entry?.dev === dev && entry.ino === ino).length;
}

test('a blob whose file somebody took away is gone, and said to be', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('taken', KIB);
  await rm(fixture.file(digest));
  expect(await fixture.store.open(digest)).toBeUndefined();
  expect(fixture.store.has(digest)).toBe(false);
  expect(fixture.evicted).toEqual([digest]);
  await fixture.put('taken', KIB);
  expect(await readAll(fixture.store, digest)).toBeDefined();
  expect(fixture.store.usage().bytes).toBe(KIB);
});

test('sizes and scopes that cannot be are refused with what is allowed', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = content('bad', 1);
  for (const size of [-1, 1.5, Number.NaN, Number.MAX_VALUE]) {
    await expect(fixture.store.partial({ digest, scope: 'r' }, size)).rejects.toThrow(/is not a size/u);
  }
  await expect(fixture.store.partial({ digest, scope: '' }, 1)).rejects.toThrow(/allowed/u);
  await expect(fixture.store.partial({ digest, scope: 'r' }, 65 * MIB)).rejects.toThrow(StoreFullError);
  await using odd = await fixture.store.partial({ digest, scope: '../../etc/passwd\0:5000' }, 1);
  await odd.write(0, Buffer.from('x'));
  await expect(odd.write(1, Buffer.from('x'))).rejects.toThrow(/not within a blob/u);
});

test('foreign and broken things in the directory do not stop the start; they go with a log line', async () => {
  await using fixture = await StoreFixture.open();
  const kept = await fixture.put('kept', KIB);
  const lostFacts = await fixture.put('facts lost', KIB);
  const cut = await fixture.put('cut', KIB);
  await fixture.store[Symbol.asyncDispose]();
  const root = fixture.directory.join('v1');
  await writeFile(`${root}/blobs/README`, 'hello');
  await writeFile(`${root}/blobs/${kept.digest.replace(':', '-').slice(0, -1)}`, 'short name');
  await writeFile(`${root}/partial/x`, 'hello');
  await writeFile(`${root}/temporary/7`, 'left by a crash');
  await writeFile(fixture.file(lostFacts.digest, 'facts.json'), '{"size":');
  await writeFile(fixture.file(cut.digest), 'cut');
  const store = await fixture.reopen();
  expect(store.digests().toSorted()).toEqual([kept.digest, lostFacts.digest].toSorted());
  expect(fixture.warnings.length).toBe(4);
  expect((await readAll(store, lostFacts.digest))?.equals(lostFacts.bytes)).toBe(true);
  expect((await readdir(`${root}/blobs`)).length).toBe(2);
  expect(await readdir(`${root}/partial`)).toEqual([]);
  expect(await readdir(`${root}/temporary`)).toEqual([]);
});

test('a directory that cannot be used stops the start with its name', async () => {
  await using fixture = await StoreFixture.open();
  const file = fixture.directory.join('file');
  await writeFile(file, '');
  const logger = { debug: () => {}, info: () => {}, warn: () => {} };
  const opening = BlobStore.open(
    { directory: file, quotaBytes: 1 },
    { now: Date.now, onEvict: () => {}, logger },
  );
  await expect(opening).rejects.toThrow(file);
});

test('a closed store refuses work, and closing keeps what is half done', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = content('closing', MIB);
  const partial = await fixture.store.partial({ digest, scope: 'r' }, MIB);
  await partial.write(0, bytes);
  await fixture.store[Symbol.asyncDispose]();
  await expect(partial.write(0, bytes)).rejects.toThrow(StoreError);
  await expect(fixture.store.open(digest)).rejects.toThrow(/closed/u);
  await expect(fixture.store.put(digest, bytes, {})).rejects.toThrow(/closed/u);
  const store = await fixture.reopen();
  await using again = await store.partial({ digest, scope: 'r' }, MIB);
  expect(again.resumed).toBe(true);
});

test('a small blob is known and read while it is being written, and what is learnt of it meanwhile is not lost', async () => {
  const disk = Promise.withResolvers<void>();
  await using fixture = await StoreFixture.open(64 * MIB, {
    writeAt: async (fd, data, position) => {
      await disk.promise;
      return writeAt(fd, data, position);
    },
  });
  const { bytes, digest } = content('slow disk', KIB);
  const { written } = await fixture.store.put(digest, bytes, { registries: ['r.io'] });
  await setImmediate();
  fixture.store.addFacts(digest, { registries: ['other.io'] });
  const registries = ['r.io', 'other.io'];
  expect(fixture.store.stat(digest)).toMatchObject({ size: KIB, facts: { registries } });
  expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
  disk.resolve();
  await written;
  expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
  await fixture.store[Symbol.asyncDispose]();
  const store = await fixture.reopen();
  expect(store.stat(digest)?.facts.registries).toEqual(registries);
});

test('a small blob that cannot be written has gone for all who put it', async () => {
  await using fixture = await StoreFixture.open(64 * MIB, {
    writeAt: () => Promise.reject(Object.assign(new Error('EIO: i/o'), { code: 'EIO' })),
  });
  const { bytes, digest } = content('broken disk', KIB);
  const puts = await Promise.all([1, 2].map(() => fixture.store.put(digest, bytes, {})));
  for (const { written } of puts) await expect(written).rejects.toThrow('EIO');
  expect(fixture.store.has(digest)).toBe(false);
  expect(await fixture.store.open(digest)).toBeUndefined();
  expect(fixture.store.usage()).toMatchObject({ blobs: 0, bytes: 0 });
});

test('a disk that stands still is given only so many small blobs to write, and few files', async () => {
  const disk = Promise.withResolvers<void>();
  let files = 0;
  await using fixture = await StoreFixture.open(64 * MIB, {
    writeAt: async (fd, data, position) => {
      files += 1;
      await disk.promise;
      return writeAt(fd, data, position);
    },
  });
  let known = 0;
  const putting = Array.from({ length: MAX_WRITES + 20 }, async (_, seed) => {
    const { bytes, digest } = content(seed, KIB);
    const { written } = await fixture.store.put(digest, bytes, {});
    known += 1;
    await written;
  });
  await expect.poll(() => files).toBeGreaterThan(0);
  const atFirst = { known, files };
  disk.resolve();
  await Promise.all(putting);
  expect(atFirst.known).toBe(MAX_WRITES);
  expect(atFirst.files).toBeLessThan(10);
  expect(fixture.store.usage().blobs).toBe(MAX_WRITES + 20);
});

describe('small blobs that wait to be written', () => {
  const waiting = { writeDelayMs: 3_600_000 };

  test('are written when the store is closed', async () => {
    await using fixture = await StoreFixture.open(64 * MIB, waiting);
    const { bytes, digest } = content('waits', KIB);
    await fixture.store.put(digest, bytes, {});
    expect(fixture.store.usage().blobs).toBe(0);
    expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
    await fixture.store[Symbol.asyncDispose]();
    expect((await fixture.reopen()).usage().blobs).toBe(1);
  });

  test('are pruned like others', async () => {
    await using fixture = await StoreFixture.open(64 * MIB, waiting);
    const { bytes, digest } = content('waits', KIB);
    await fixture.store.put(digest, bytes, {});
    await fixture.store.prune({ all: true });
    expect(fixture.store.has(digest)).toBe(false);
  });

  test('wait no longer when there are many', async () => {
    await using fixture = await StoreFixture.open(64 * MIB, waiting);
    const written: Promise<void>[] = [];
    for (let seed = 0; seed < MAX_WRITES / 2; seed += 1) {
      const { bytes, digest } = content(seed, KIB);
      written.push((await fixture.store.put(digest, bytes, {})).written);
    }
    await Promise.all(written);
    expect(fixture.store.usage().blobs).toBe(MAX_WRITES / 2);
  });
});

test('a blob that is put can be opened at each moment of its way to the disk', async () => {
  await using fixture = await StoreFixture.open();
  const { digest, bytes } = content('on its way', 64 * KIB);
  const { written } = await fixture.store.put(digest, bytes, {});
  const way = { isOver: false };
  void written.then(() => (way.isOver = true));
  await using stack = new AsyncDisposableStack();
  while (!way.isOver) {
    const opened = Array.from({ length: 40 }, async (_, moment) => {
      for (let at = 0; at < moment; at++) await Promise.resolve();
      return fixture.store.open(digest);
    });
    const blobs = await Promise.all(opened);
    expect(blobs).not.toContain(undefined);
    for (const blob of blobs) stack.use(blob!);
    await setImmediate();
  }
});

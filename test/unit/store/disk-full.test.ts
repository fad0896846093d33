import { execFileSync } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { writeAt, type WriteAt } from '#swarm/store/data-file.ts';
import { StoreFullError } from '#swarm/store/errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { content, KIB, MIB, readAll, StoreFixture } from './store-fixture.ts';

/** A disk that takes so many bytes beyond what it holds, and has as many again as the store's evictions free. */
class SmallDisk {
  readonly #capacity: number;
  fixture: StoreFixture | undefined;
  refusals = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  readonly writeAt: WriteAt = async (fd, data, position) => {
    if ((this.fixture?.store.usage().bytes ?? 0) + data.byteLength <= this.#capacity) {
      return writeAt(fd, data, position);
    }
    this.refusals += 1;
    // As pwrite(2): first what still fits, then the error.
    if (this.refusals % 2 === 1) return writeAt(fd, data.subarray(0, 1000), position);
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  };
}

test('a full disk makes old blobs go, and the write is whole', async () => {
  const disk = new SmallDisk(3 * MIB);
  await using fixture = await StoreFixture.open(64 * MIB, { writeAt: disk.writeAt });
  disk.fixture = fixture;
  for (const seed of ['a', 'b', 'c']) await fixture.put(seed, 900 * KIB);
  const { bytes, digest } = content('new', 2 * MIB);
  await using partial = await fixture.store.partial({ digest, scope: 'r' }, bytes.length);
  await partial.write(0, bytes);
  await partial.appendBatch(Buffer.from('batch'));
  await partial.commit({});
  expect(disk.refusals).toBeGreaterThan(0);
  expect(fixture.evicted.length).toBeGreaterThan(0);
  expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
});

test('when nothing can go, the write fails as full; what was written stays readable', async () => {
  let full = false;
  await using fixture = await StoreFixture.open(64 * MIB, {
    writeAt: async (fd, data, position) => {
      if (!full) return writeAt(fd, data, position);
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    },
  });
  const { bytes, digest } = content('new', MIB);
  await using partial = await fixture.store.partial({ digest, scope: 'r' }, MIB);
  await partial.write(0, bytes.subarray(0, 256 * KIB));
  full = true;
  await expect(partial.write(256 * KIB, bytes.subarray(256 * KIB, 512 * KIB))).rejects.toThrow(
    StoreFullError,
  );
  await expect(partial.appendBatch(Buffer.from('batch'))).rejects.toThrow(StoreFullError);
  await expect(fixture.put('small', KIB)).rejects.toThrow(StoreFullError);
  expect(fixture.store.usage()).toMatchObject({ blobs: 0, bytes: 0, partialBytes: MIB });
  const read = Buffer.alloc(256 * KIB);
  await partial.read(0, read);
  expect(read.equals(bytes.subarray(0, 256 * KIB))).toBe(true);
  full = false;
  await partial.write(256 * KIB, bytes.subarray(256 * KIB));
  await partial.commit({});
  expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
});

test('another failure of the disk is told as it is and evicts nothing', async () => {
  await using fixture = await StoreFixture.open();
  await fixture.put('a', KIB);
  await fixture.store[Symbol.asyncDispose]();
  await fixture.reopen({
    writeAt: () => Promise.reject(Object.assign(new Error('EIO: i/o'), { code: 'EIO' })),
  });
  await expect(fixture.put('b', KIB)).rejects.toThrow('EIO');
  expect(fixture.evicted).toEqual([]);
  expect(fixture.store.usage()).toMatchObject({ blobs: 1, bytes: KIB });
});

/** A file system of its own in memory; undefined where this user may not mount one. */
async function mountTmpfs(size: string): Promise<(AsyncDisposable & { path: string }) | undefined> {
  const directory = await temporaryDirectory('tmpfs');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory.path], {
      stdio: 'ignore',
    });
  } catch {
    await directory[Symbol.asyncDispose]();
    return undefined;
  }
  return {
    path: directory.path,
    async [Symbol.asyncDispose]() {
      execFileSync('umount', [directory.path]);
      await directory[Symbol.asyncDispose]();
    },
  };
}

test('on a small file system that fills up, blobs come and go and none is damaged', async (context) => {
  await using disk = await mountTmpfs('8m');
  if (!disk) {
    context.skip('mounting a small file system takes root, which this run does not have');
    return;
  }
  await using fixture = await StoreFixture.open(64 * MIB, {}, disk.path);
  for (let i = 0; i < 6; i += 1) {
    await fixture.put(`put ${i}`, 700 * KIB);
    const { bytes, digest } = content(`partial ${i}`, 2 * MIB);
    await using partial = await fixture.store.partial({ digest, scope: 'r' }, bytes.length);
    await Promise.all(
      [0, 1, 2, 3].map((piece) =>
        partial.write(piece * 512 * KIB, bytes.subarray(piece * 512 * KIB, (piece + 1) * 512 * KIB)),
      ),
    );
    await partial.commit({});
  }
  const { store } = fixture;
  expect(store.usage().evictions).toBeGreaterThan(0);
  expect(store.usage().blobs).toBe(12 - fixture.evicted.length);
  // As after a crash: each blob is hashed again.
  const digests = store.digests();
  await using _before = store;
  await fixture.reopen();
  for (const digest of digests) expect(await readAll(fixture.store, digest)).toBeDefined();
  const tooBig = content('too big', 12 * MIB);
  await using partial = await fixture.store.partial({ digest: tooBig.digest, scope: 'r' }, 12 * MIB);
  await expect(partial.write(0, tooBig.bytes)).rejects.toThrow(StoreFullError);
  await partial.discard();
  await fixture.put('after', MIB);
  expect((await statfs(disk.path)).bfree).toBeGreaterThan(0);
});

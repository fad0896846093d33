import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, truncate } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { BlobDamagedError } from '#swarm/store/errors.ts';
import { failingDisk } from '../../support/failing-disk.ts';
import type { BlobStore } from '#swarm/store/blob-store.ts';
import { content, KIB, MIB, readAll, StoreFixture } from './store-fixture.ts';

const PIECE = 256 * KIB;
const PIECES = 40;

/** Runs the writer on a directory and kills it, without a warning, right after it told of that piece. */
async function writeAndKill(directory: string, lastPiece: number): Promise<void> {
  const script = new URL('crash-writer.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, directory, String(PIECES)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === String(lastPiece)) child.kill('SIGKILL');
  }
  const [, signal] = await exited;
  expect(signal).toBe('SIGKILL');
}

test('killed in the middle of writing, a store loses no piece and no batch that it had taken', async () => {
  await using fixture = await StoreFixture.open();
  await fixture.store[Symbol.asyncDispose]();
  await writeAndKill(fixture.directory.path, 24);
  const store = await fixture.reopen();
  const { bytes, digest } = content('half', PIECES * PIECE);
  expect(store.has(digest)).toBe(false);
  await using partial = await store.partial({ digest, scope: 'r.io' }, bytes.length);
  expect(partial.resumed).toBe(true);
  const batches = (await partial.batches()).map(String);
  expect(batches.slice(0, 25)).toEqual(Array.from({ length: 25 }, (_, index) => `batch ${index}`));
  for (let index = 0; index <= 24; index += 1) {
    const piece = Buffer.alloc(PIECE);
    await partial.read(index * PIECE, piece);
    expect(piece.equals(bytes.subarray(index * PIECE, (index + 1) * PIECE))).toBe(true);
  }
  // It goes on as if nothing had happened.
  await partial.appendBatch(Buffer.from('after'));
  await partial.write(24 * PIECE, bytes.subarray(24 * PIECE));
  await partial.commit({});
  expect((await readAll(store, digest))?.equals(bytes)).toBe(true);
  const whole = content('whole', 3 * PIECE);
  expect((await readAll(store, whole.digest))?.equals(whole.bytes)).toBe(true);
  expect(store.stat(whole.digest)?.facts.registries).toEqual(['r.io']);
});

async function flipBit(file: string, at: number): Promise<void> {
  await using handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte[0]! ^= 0x10;
  await handle.write(byte, 0, 1, at);
}

/** A new store on the directory of one that was never closed. */
async function crash(fixture: StoreFixture): Promise<{ before: BlobStore; after: BlobStore }> {
  const before = fixture.store;
  return { before, after: await fixture.reopen() };
}

test('after an unclean stop a damaged blob is dropped before a byte of it is served, a sound one is kept', async () => {
  await using fixture = await StoreFixture.open();
  const sound = await fixture.put('sound', MIB);
  const flipped = await fixture.put('flipped', MIB);
  const cut = await fixture.put('cut', MIB);
  const { before, after } = await crash(fixture);
  await using _old = before;
  await flipBit(fixture.file(flipped.digest), 700 * KIB);
  await truncate(fixture.file(cut.digest), MIB - 1);
  const opened = await Promise.all([flipped, flipped, flipped].map((blob) => after.open(blob.digest)));
  expect(opened).toEqual([undefined, undefined, undefined]);
  expect(await after.open(cut.digest)).toBeUndefined();
  expect(fixture.evicted).toEqual([flipped.digest, cut.digest]);
  expect((await readAll(after, sound.digest))?.equals(sound.bytes)).toBe(true);
  expect(after.usage()).toMatchObject({ blobs: 1, bytes: MIB });
  // What was dropped can come again, and take the room that it had.
  await fixture.put('flipped', MIB);
  expect((await readAll(after, flipped.digest))?.equals(flipped.bytes)).toBe(true);
});

test('a blob cut short is dropped at the start', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('cut', MIB);
  await using _old = fixture.store;
  await truncate(fixture.file(digest), 5);
  const store = await fixture.reopen();
  expect(store.has(digest)).toBe(false);
  expect(store.usage()).toMatchObject({ blobs: 0, bytes: 0 });
});

test('after a clean stop nothing is read again, but what an earlier crash made suspect still is', async () => {
  await using fixture = await StoreFixture.open();
  const trusted = await fixture.put('trusted', MIB);
  const suspect = await fixture.put('suspect', MIB);
  const { before, after } = await crash(fixture);
  await readAll(after, trusted.digest);
  await after[Symbol.asyncDispose]();
  await before.prune({});
  expect(JSON.parse(await readFile(fixture.directory.join('v1', 'unclean'), 'utf8'))).toEqual([
    suspect.digest,
  ]);
  await fixture.reopen();
  await flipBit(fixture.file(trusted.digest), 9);
  await flipBit(fixture.file(suspect.digest), 9);
  expect(await readAll(fixture.store, trusted.digest)).toBeDefined();
  expect(await readAll(fixture.store, suspect.digest)).toBeUndefined();
  await fixture.store[Symbol.asyncDispose]();
  await expect(readFile(fixture.directory.join('v1', 'unclean'))).rejects.toThrow('ENOENT');
});

test('a damaged blob does not stand in the way of the bytes that come for it', async () => {
  await using fixture = await StoreFixture.open();
  const put = await fixture.put('put', MIB);
  const committed = await fixture.put('committed', MIB);
  const { before, after } = await crash(fixture);
  await using _old = before;
  await flipBit(fixture.file(put.digest), 9);
  await flipBit(fixture.file(committed.digest), 9);
  await (
    await after.put(put.digest, put.bytes, { registries: ['new.io'] })
  ).written;
  await using partial = await after.partial({ digest: committed.digest, scope: 'r' }, MIB);
  await partial.write(0, committed.bytes);
  await partial.commit({ registries: ['new.io'] });
  for (const { bytes, digest } of [put, committed]) {
    expect((await readAll(after, digest))?.equals(bytes)).toBe(true);
    expect(after.stat(digest)?.facts.registries).toEqual(['new.io']);
  }
  expect(after.usage()).toMatchObject({ blobs: 2, bytes: 2 * MIB, partialBytes: 0 });
});

test('who gives up waiting for a verification leaves it to the others', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = await fixture.put('slow', 32 * MIB);
  const { before, after } = await crash(fixture);
  await using _old = before;
  const leaving = new AbortController();
  const left = after.open(digest, leaving.signal);
  const alone = after.open(digest);
  leaving.abort(new Error('runtime went away'));
  await expect(left).rejects.toThrow('runtime went away');
  await using blob = await alone;
  expect(blob?.size).toBe(bytes.length);
  expect(fixture.evicted).toEqual([]);
});

test('a verification that nobody waits for stops, and the blob can be pruned at once', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('slow', 32 * MIB);
  const { before, after } = await crash(fixture);
  await using _old = before;
  const leaving = new AbortController();
  const left = after.open(digest, leaving.signal);
  leaving.abort();
  await expect(left).rejects.toThrow(/abort/u);
  expect((await after.prune({ all: true })).blobs).toBe(1);
  await expect(after.open(digest, AbortSignal.abort())).rejects.toThrow(/abort/u);
});

test('a store that closes during a verification stops it and keeps the blob', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('slow', 32 * MIB);
  const { before, after } = await crash(fixture);
  const opening = after.open(digest);
  const closing = after[Symbol.asyncDispose]();
  await expect(opening).rejects.toThrow(/abort|closed/u);
  await closing;
  const again = await fixture.reopen();
  expect(await readAll(again, digest)).toBeDefined();
  await before[Symbol.asyncDispose]();
});

test('a blob of which the disk cannot read a part is dropped at once, and its bytes can come again', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = await fixture.put('failing', MIB);
  {
    await using blob = await fixture.store.open(digest);
    using _failing = failingDisk('read');
    await expect(blob!.read(0, Buffer.alloc(MIB))).rejects.toThrow(BlobDamagedError);
    expect(fixture.store.has(digest)).toBe(false);
  }
  expect(fixture.evicted).toEqual([digest]);
  await fixture.put('failing', MIB);
  expect((await readAll(fixture.store, digest))?.equals(bytes)).toBe(true);
});

test.each(['open', 'fstat'] as const)('a blob is dropped when the disk says EIO at %s', async (operation) => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('failing', MIB);
  using _failing = failingDisk(operation);
  expect(await fixture.store.open(digest)).toBeUndefined();
  expect(fixture.evicted).toEqual([digest]);
});

test('a blob that is proved to be damaged goes at once, and who has it open reads the rest', async () => {
  await using fixture = await StoreFixture.open();
  const { bytes, digest } = await fixture.put('damaged', MIB);
  await using blob = await fixture.store.open(digest);
  await flipBit(fixture.file(digest), 9);
  blob!.drop(new BlobDamagedError('piece 0 is not what was stored'));
  expect(fixture.store.has(digest)).toBe(false);
  expect(fixture.evicted).toEqual([digest]);
  const end = Buffer.alloc(KIB);
  await blob!.read(MIB - KIB, end);
  expect(end.equals(bytes.subarray(MIB - KIB))).toBe(true);
});

test('a blob found short while it is read is not served again', async () => {
  await using fixture = await StoreFixture.open();
  const { digest } = await fixture.put('short', MIB);
  {
    await using blob = await fixture.store.open(digest);
    await truncate(fixture.file(digest), KIB);
    await expect(blob!.read(0, Buffer.alloc(MIB))).rejects.toThrow(/ends at byte/u);
  }
  expect(await fixture.store.open(digest)).toBeUndefined();
  expect(fixture.evicted).toEqual([digest]);
});

import { readFile, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { checkRange, DataFile, writeAt } from '#swarm/store/data-file.ts';
import { BlobDamagedError, StoreError } from '#swarm/store/errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

test('a write that the kernel takes in parts is written whole', async () => {
  await using dir = await temporaryDirectory('file');
  await using file = await DataFile.open(dir.join('f'), 'create', (fd, data, position) =>
    writeAt(fd, data.subarray(0, 3), position),
  );
  await file.write(2, Buffer.from('ten bytes.'));
  expect(await readFile(dir.join('f'), 'latin1')).toBe('\0\0ten bytes.');
});

test('a file closed during an operation keeps its descriptor until that has ended', async () => {
  await using dir = await temporaryDirectory('file');
  const gate = Promise.withResolvers<void>();
  const file = await DataFile.open(dir.join('first'), 'create', async (fd, data, position) => {
    await gate.promise;
    return writeAt(fd, data, position);
  });
  const writing = file.write(0, Buffer.from('meant for the first'));
  const closing = file.close();
  // Were the descriptor free already, this file would get it.
  await using other = await DataFile.open(dir.join('second'), 'create');
  gate.resolve();
  await Promise.all([writing, closing, file.close()]);
  await other.sync();
  expect(await readFile(dir.join('first'), 'latin1')).toBe('meant for the first');
  expect(await readFile(dir.join('second'), 'latin1')).toBe('');
  await expect(file.read(0, Buffer.alloc(1))).rejects.toThrow(StoreError);
});

test('a read past the end of the file fails, whether it begins before it or not', async () => {
  await using dir = await temporaryDirectory('file');
  await writeFile(dir.join('f'), 'short');
  await using file = await DataFile.open(dir.join('f'), 'read');
  await expect(file.read(3, Buffer.alloc(10))).rejects.toThrow(BlobDamagedError);
  await expect(file.read(30, Buffer.alloc(1))).rejects.toThrow(BlobDamagedError);
  await file.read(5, Buffer.alloc(0));
});

test('a range is within a blob or refused', () => {
  expect(() => checkRange(10, 10, 0)).not.toThrow();
  expect(() => checkRange(10, 0, 10)).not.toThrow();
  for (const [position, length] of [
    [0, 11],
    [10, 1],
    [-1, 1],
    [0.5, 1],
    [Number.NaN, 1],
    [2 ** 53, 0],
  ] as const) {
    expect(() => checkRange(10, position, length)).toThrow(StoreError);
  }
});

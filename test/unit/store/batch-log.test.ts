import { appendFile, readFile, truncate } from 'node:fs/promises';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { BatchLog, decodeBatchLog, encodeBatchRecord } from '#swarm/store/batch-log.ts';
import { MAX_BATCH_BYTES, MAX_BATCH_LOG_BYTES } from '#swarm/store/constants.ts';
import { writeAt } from '#swarm/store/data-file.ts';
import { StoreError } from '#swarm/store/errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const batches = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 });

function bytesOf(list: Uint8Array[]): number[][] {
  return list.map((batch) => [...batch]);
}

function logOf(list: Uint8Array[]): Buffer {
  return Buffer.concat(list.map(encodeBatchRecord));
}

test('every batch that was appended is read back', () => {
  fc.assert(
    fc.property(batches, (list) => {
      const log = logOf(list);
      const decoded = decodeBatchLog(log);
      expect(bytesOf(decoded.batches)).toEqual(bytesOf(list));
      expect(decoded.end).toBe(log.length);
    }),
  );
});

test('a log cut anywhere gives all batches before the cut', () => {
  fc.assert(
    fc.property(batches, fc.nat(), fc.uint8Array({ maxLength: 12 }), (list, cut, garbage) => {
      const log = logOf(list);
      const end = log.length === 0 ? 0 : cut % log.length;
      // Whole records before the cut, counted apart from the decoder.
      let whole = 0;
      for (let at = 0; whole < list.length; whole += 1) {
        at += 8 + list[whole]!.length;
        if (at > end) break;
      }
      const zeros = Buffer.alloc(garbage.length);
      const decoded = decodeBatchLog(Buffer.concat([log.subarray(0, end), zeros]));
      expect(bytesOf(decoded.batches.slice(0, whole))).toEqual(bytesOf(list.slice(0, whole)));
      expect(decoded.batches.length).toBeLessThanOrEqual(whole + 1);
    }),
  );
});

test('a flipped bit never gives a batch that was not written', () => {
  fc.assert(
    fc.property(batches, fc.nat(), (list, at) => {
      const log = logOf(list);
      if (log.length === 0) return;
      const bit = at % (log.length * 8);
      log[bit >> 3]! ^= 1 << (bit & 7);
      const decoded = bytesOf(decodeBatchLog(log).batches);
      expect(decoded.length).toBeLessThan(list.length);
      expect(decoded).toEqual(bytesOf(list).slice(0, decoded.length));
    }),
  );
});

test('arbitrary bytes are a log of something, or of nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
      const { batches: found, end } = decodeBatchLog(bytes);
      expect(Buffer.compare(logOf(found), bytes.subarray(0, end))).toBe(0);
    }),
  );
});

test('a length beyond the bound or beyond the file takes no memory and ends the log', () => {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(0xffffffff, 0);
  expect(decodeBatchLog(Buffer.concat([header, Buffer.alloc(100)]))).toEqual({ batches: [], end: 0 });
});

test('appending goes on behind the last whole batch when a crash cut the log', async () => {
  await using dir = await temporaryDirectory('batches');
  const path = dir.join('hashes');
  const first = Buffer.from('first batch');
  await new BatchLog(path).append(first);
  await appendFile(path, encodeBatchRecord(Buffer.from('cut off')).subarray(0, 11));
  const log = new BatchLog(path);
  expect(bytesOf(await log.batches())).toEqual(bytesOf([first]));
  await log.append(Buffer.from('second'));
  await log.append(Buffer.from('third'));
  expect((await new BatchLog(path).batches()).map(String)).toEqual(['first batch', 'second', 'third']);
});

test('a batch whose write failed halfway does not hide the next', async () => {
  await using dir = await temporaryDirectory('batches');
  let fail = false;
  const log = new BatchLog(dir.join('hashes'), async (fd, data, position) => {
    if (!fail) return writeAt(fd, data, position);
    await writeAt(fd, data.subarray(0, 12), position);
    throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
  });
  await log.append(Buffer.from('one'));
  fail = true;
  await expect(log.append(Buffer.from('two, longer'))).rejects.toThrow('no space');
  fail = false;
  await log.append(Buffer.from('3'));
  expect((await log.batches()).map(String)).toEqual(['one', '3']);
  expect((await readFile(dir.join('hashes'))).length).toBe(8 + 3 + 8 + 1);
});

test('empty and oversized batches, and a log above its bound, are refused', async () => {
  await using dir = await temporaryDirectory('batches');
  const log = new BatchLog(dir.join('hashes'));
  await expect(log.append(new Uint8Array())).rejects.toThrow(StoreError);
  await expect(log.append(new Uint8Array(MAX_BATCH_BYTES + 1))).rejects.toThrow(/are allowed/u);
  const record = encodeBatchRecord(Buffer.alloc(MAX_BATCH_BYTES, 1));
  const count = Math.floor(MAX_BATCH_LOG_BYTES / record.length);
  await appendFile(dir.join('hashes'), Buffer.concat(Array.from({ length: count }, () => record)));
  await expect(log.append(new Uint8Array(MAX_BATCH_BYTES))).rejects.toThrow(/would exceed/u);
  await truncate(dir.join('hashes'), 0);
});

test('where there is no log there are no batches', async () => {
  await using dir = await temporaryDirectory('batches');
  expect(await new BatchLog(dir.join('hashes')).batches()).toEqual([]);
});

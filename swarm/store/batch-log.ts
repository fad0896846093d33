import { crc32 } from 'node:zlib';
import { MAX_BATCH_BYTES, MAX_BATCH_LOG_BYTES } from './constants.ts';
import { DataFile, type WriteAt } from './data-file.ts';
import { isMissing, StoreError } from './errors.ts';
import { Limiter } from './limiter.ts';

/** A record is: length of the batch (u32), CRC-32 of the batch (u32), the batch; integers big-endian. */
const HEADER_BYTES = 8;

/** @throws StoreError for an empty batch or one above MAX_BATCH_BYTES */
export function encodeBatchRecord(batch: Uint8Array): Buffer {
  if (batch.byteLength === 0 || batch.byteLength > MAX_BATCH_BYTES) {
    throw new StoreError(
      `a batch of ${batch.byteLength} bytes cannot be kept: 1 to ${MAX_BATCH_BYTES} are allowed`,
    );
  }
  const record = Buffer.allocUnsafe(HEADER_BYTES + batch.byteLength);
  record.writeUInt32BE(batch.byteLength, 0);
  record.writeUInt32BE(crc32(batch), 4);
  record.set(batch, HEADER_BYTES);
  return record;
}

/**
 * The whole records at the start of a log, and where they end. What a crash left behind the last whole one (a cut
 * record, zeros, garbage) is not an error; nothing behind it can be told apart from garbage, so it is left out.
 * The batches are views of `log`.
 */
export function decodeBatchLog(log: Uint8Array): { batches: Uint8Array[]; end: number } {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  const batches: Uint8Array[] = [];
  let end = 0;
  while (end + HEADER_BYTES <= log.byteLength) {
    const length = view.getUint32(end);
    const start = end + HEADER_BYTES;
    if (length === 0 || length > MAX_BATCH_BYTES || start + length > log.byteLength) break;
    const batch = log.subarray(start, start + length);
    if (crc32(batch) !== view.getUint32(end + 4)) break;
    batches.push(batch);
    end = start + length;
  }
  return { batches, end };
}

/**
 * One blob's batches on disk, opened only for as long as an operation takes: appends are rare beside reads and
 * writes of content. Operations queue behind each other.
 */
export class BatchLog {
  readonly #path: string;
  readonly #writeAt: WriteAt | undefined;
  readonly #queue = new Limiter(1);
  /** Where the next record belongs; unknown before the first operation and after a failed one. */
  #end: number | undefined;

  constructor(path: string, write?: WriteAt) {
    this.#path = path;
    this.#writeAt = write;
  }

  /** All whole records in the order of their appending; none where there is no log. */
  batches(): Promise<Uint8Array[]> {
    return this.#queue.run(async () => {
      try {
        await using file = await DataFile.open(this.#path, 'read');
        return (await read(file)).batches;
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    });
  }

  /**
   * Adds a record behind the last whole one; what a crash or a failed append left there is cut off.
   * @throws StoreError when the batch, or the log with it, would exceed its bound
   */
  async append(batch: Uint8Array): Promise<void> {
    const record = encodeBatchRecord(batch);
    await this.#queue.run(async () => {
      await using file = await DataFile.open(this.#path, 'log', this.#writeAt);
      const end = this.#end ?? (await this.#resume(file));
      if (end + record.byteLength > MAX_BATCH_LOG_BYTES) {
        throw new StoreError(
          `the hash batches of one blob would exceed ${MAX_BATCH_LOG_BYTES} bytes; ${end} are in use`,
        );
      }
      this.#end = undefined;
      await file.write(end, record);
      this.#end = end + record.byteLength;
    });
  }

  /** Flushes what was appended. */
  sync(): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await using file = await DataFile.open(this.#path, 'write');
        await file.sync();
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    });
  }

  async #resume(file: DataFile): Promise<number> {
    const { end } = await read(file);
    await file.truncate(end);
    return end;
  }
}

/** A log above its bound is read up to it. */
async function read(file: DataFile): Promise<{ batches: Uint8Array[]; end: number }> {
  const { size } = await file.stat();
  const log = Buffer.alloc(Math.min(size, MAX_BATCH_LOG_BYTES));
  await file.read(0, log);
  return decodeBatchLog(log);
}

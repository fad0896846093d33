import fs from 'node:fs';
import { BlobDamagedError, errorCode, StoreError } from './errors.ts';

/** Writes some of `data` at a position of an open file and gives the number of bytes taken, as pwrite(2) does. */
export type WriteAt = (fd: number, data: Uint8Array, position: number) => Promise<number>;

/** pwrite(2) by libuv's threads. */
export function writeAt(fd: number, data: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, data, 0, data.byteLength, position, (error, written) =>
      error ? reject(error) : resolve(written),
    );
  });
}

function readAt(fd: number, target: Uint8Array, offset: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, target, offset, target.byteLength - offset, position, (error, read) =>
      error ? reject(error) : resolve(read),
    );
  });
}

/** What a failing disk says of what it has lost (EIO) is damage; other errors say nothing of the content. */
function damageOf(cause: unknown): never {
  if (errorCode(cause) !== 'EIO') throw cause;
  throw new BlobDamagedError('the disk cannot read what was stored', { cause });
}

function settle(run: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((error) => (error ? reject(error) : resolve()));
  });
}

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;

const OPEN_MODES = {
  read: O_RDONLY | O_NOFOLLOW,
  write: O_RDWR | O_NOFOLLOW,
  create: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
  log: O_RDWR | O_CREAT | O_NOFOLLOW,
} as const;

/**
 * One open descriptor, read and written at positions by any number of callers at once. It is closed only when
 * the last operation on it has ended: a descriptor closed under a running read could by then be another file's.
 */
export class DataFile implements AsyncDisposable {
  readonly #fd: number;
  readonly #writeAt: WriteAt;
  #running = 0;
  #closed = false;
  readonly #idle = Promise.withResolvers<void>();

  private constructor(fd: number, write: WriteAt) {
    this.#fd = fd;
    this.#writeAt = write;
  }

  static async open(
    path: string,
    mode: keyof typeof OPEN_MODES,
    write: WriteAt = writeAt,
  ): Promise<DataFile> {
    const fd = await new Promise<number>((resolve, reject) => {
      fs.open(path, OPEN_MODES[mode], 0o600, (error, opened) => (error ? reject(error) : resolve(opened)));
    });
    return new DataFile(fd, write);
  }

  /** Fills the target from `position` on. @throws BlobDamagedError when the file ends before that, or the disk has lost it. */
  read(position: number, target: Uint8Array): Promise<void> {
    return this.#use(async (fd) => {
      for (let done = 0; done < target.byteLength;) {
        const read = await readAt(fd, target, done, position + done).catch(damageOf);
        if (read === 0) throw new BlobDamagedError(`the file ends at byte ${position + done}, within a read`);
        done += read;
      }
    });
  }

  write(position: number, data: Uint8Array): Promise<void> {
    return this.#use(async (fd) => {
      for (let done = 0; done < data.byteLength;) {
        done += await this.#writeAt(fd, done === 0 ? data : data.subarray(done), position + done);
      }
    });
  }

  truncate(size: number): Promise<void> {
    return this.#use((fd) => settle((done) => fs.ftruncate(fd, size, done)));
  }

  /** fsync(2). A failed one is final: the kernel may have dropped the pages, so a second success would mean nothing. */
  sync(): Promise<void> {
    return this.#use((fd) => settle((done) => fs.fsync(fd, done)));
  }

  stat(): Promise<fs.Stats> {
    return this.#use(
      (fd) =>
        new Promise((resolve, reject) => {
          fs.fstat(fd, (error, stats) => (error ? reject(error) : resolve(stats)));
        }),
    );
  }

  /** Sets both file times, in milliseconds since 1970. */
  touch(timeMs: number): Promise<void> {
    return this.#use((fd) => settle((done) => fs.futimes(fd, timeMs / 1000, timeMs / 1000, done)));
  }

  /** Further operations are refused, those under way end first. */
  async close(): Promise<void> {
    if (this.#closed) return this.#idle.promise;
    this.#closed = true;
    if (this.#running === 0) this.#end();
    return this.#idle.promise;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #end(): void {
    // Linux closes the descriptor also where it reports a failed write behind; what must last was flushed before.
    fs.close(this.#fd, () => this.#idle.resolve());
  }

  async #use<T>(operation: (fd: number) => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreError('the file is closed');
    this.#running += 1;
    try {
      return await operation(this.#fd);
    } finally {
      this.#running -= 1;
      if (this.#closed && this.#running === 0) this.#end();
    }
  }
}

/** @throws StoreError unless `length` bytes from `position` on lie within `size` */
export function checkRange(size: number, position: number, length: number): void {
  if (Number.isSafeInteger(position) && position >= 0 && position + length <= size) return;
  throw new StoreError(`${length} bytes at ${position} are not within a blob of ${size} bytes`);
}

/** What a sparse file takes of the disk, without what its last block has to spare. */
export function allocatedBytes(stats: { blocks: number; size: number }): number {
  return Math.min(stats.blocks * 512, stats.size);
}

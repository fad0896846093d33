import { open, rm, statfs, type FileHandle } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { setInterval as every } from 'node:timers/promises';
import { PART_OF_FREE, type Ground } from './ground.ts';

const CHUNK_BYTES = 1024 * 1024;
/**
 * Given back beyond what stores have taken: for what comes until the next look, and for sockets and heaps. With 64 MiB
 * `one-to-one` was a tenth slower than with memory given back at once, with 512 MiB it is not.
 */
const AHEAD_BYTES = 512 * 1024 * 1024;
const LOOK_EVERY_MS = 25;

/**
 * Memory that stores are going to need. Where the machine is a virtual one, its host gives memory page by page at the
 * first touch, which makes a copy to it ten times as dear, and takes back what is free; neither is to
 * be put down to the parts. So it is touched, kept, and given back as the stores grow.
 */
export class Ballast implements AsyncDisposable {
  readonly #directory: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #stop = new AbortController();
  #bytes = 0;
  #given: Promise<void> | undefined;

  private constructor(directory: string, path: string, file: FileHandle) {
    this.#directory = directory;
    this.#path = path;
    this.#file = file;
  }

  /** Nothing where the ground is not in memory. */
  static async take({ directory, inMemory }: Ground, bytes: number, signal: AbortSignal): Promise<Ballast> {
    const path = join(directory, 'ballast');
    await using stack = new AsyncDisposableStack();
    const ballast = stack.use(new Ballast(directory, path, await open(path, 'w')));
    if (inMemory) await ballast.#fill(Math.min(bytes, freemem() * PART_OF_FREE), signal);
    stack.move();
    return ballast;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    try {
      await this.#given;
    } finally {
      await this.#file.close();
      await rm(this.#path, { force: true });
    }
  }

  async #fill(bytes: number, signal: AbortSignal): Promise<void> {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (; this.#bytes < bytes; this.#bytes += chunk.length) {
      signal.throwIfAborted();
      await this.#file.write(chunk);
    }
    this.#given = this.#giveBack(this.#bytes, (await this.#used()) - this.#bytes);
    this.#given.catch(() => undefined); // told when it is disposed of
  }

  /** @param held of the ballast, and `others` of the file system beside it. Bytes */
  async #giveBack(held: number, others: number): Promise<void> {
    const { signal } = this.#stop;
    try {
      for await (const _ of every(LOOK_EVERY_MS, undefined, { signal })) {
        const grown = (await this.#used()) - this.#bytes - others;
        const left = Math.max(0, held - grown - AHEAD_BYTES);
        if (left >= this.#bytes) continue;
        await this.#file.truncate(left);
        this.#bytes = left;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #used(): Promise<number> {
    const { blocks, bfree, bsize } = await statfs(this.#directory);
    return (blocks - bfree) * bsize;
  }
}

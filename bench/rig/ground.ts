import { mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { guardDirectory } from './guard.ts';

const MEMORY = '/dev/shm';
/** Magic number of tmpfs, statfs(2). */
const TMPFS = 0x01021994;
/** Of what is free, for stores in memory. */
const PART_OF_FREE = 0.6;
const CHUNK_BYTES = 1024 * 1024;

/** Where content and stores are. */
export interface Ground extends AsyncDisposable {
  readonly directory: string;
  readonly inMemory: boolean;
}

/**
 * A directory for this run: in memory, where there is room for so many bytes, since the disks of many nodes are not to
 * be measured by the one of this machine; else where the system keeps temporary files.
 */
export async function layGround(bytes: number): Promise<Ground> {
  const inMemory = await hasRoom(bytes);
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(inMemory ? MEMORY : tmpdir(), 'shoal-bench-'));
  stack.use(guardDirectory(directory));
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const kept = stack.move();
  return { directory, inMemory, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/**
 * Takes so much memory once and gives it back. Where the machine is a virtual one, its host gives memory page by page at
 * the first touch, which makes a copy to it ten times as dear; that is not to be put down to the parts.
 */
export async function touchMemory({ directory }: Ground, bytes: number): Promise<void> {
  const path = join(directory, 'touched');
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const limit = Math.min(bytes, freemem() * PART_OF_FREE);
  try {
    await using file = await open(path, 'w');
    for (let at = 0; at < limit; at += chunk.length) await file.write(chunk);
  } finally {
    await rm(path, { force: true });
  }
}

async function hasRoom(bytes: number): Promise<boolean> {
  try {
    const { type, bavail, bsize } = await statfs(MEMORY);
    return type === TMPFS && bytes < Math.min(bavail * bsize, freemem()) * PART_OF_FREE;
  } catch {
    return false; // there is none
  }
}

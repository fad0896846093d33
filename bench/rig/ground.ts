import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { guardDirectory } from './guard.ts';

const MEMORY = '/dev/shm';
/** Magic number of tmpfs, statfs(2). */
const TMPFS = 0x01021994;
/** Of what is free, for stores in memory. */
export const PART_OF_FREE = 0.6;

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

async function hasRoom(bytes: number): Promise<boolean> {
  try {
    const { type, bavail, bsize } = await statfs(MEMORY);
    return type === TMPFS && bytes < Math.min(bavail * bsize, freemem()) * PART_OF_FREE;
  } catch {
    return false; // there is none
  }
}
